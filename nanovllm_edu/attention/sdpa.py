"""Attention with torch's `scaled_dot_product_attention`: runs everywhere, in every dtype.

It is for where neither C nor Triton runs, so it is kept plain: torch cannot read through a block
table, so each sequence's keys and values are gathered, and each sequence is one call.

    sees          num_earlier tokens | its own new tokens
    new token 0   # # # # # # # # #  | # . .
    new token 1   # # # # # # # # #  | # # .              a query sees what is not after it
    new token 2   # # # # # # # # #  | # # #

Reference: `attention/reference.py`.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


class SdpaAttention:
    """One call of torch's attention per sequence."""

    name = "sdpa"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        places = [
            _slots(table, context_len, kv_cache.block_size)
            for table, context_len in zip(
                batch.block_tables, batch.context_lens.tolist(), strict=True
            )
        ]
        tokens = [slice(*ends) for ends in pairwise(batch.query_starts.tolist())]
        masks = [
            _visible(batch.positions[own], len(slots))
            for own, slots in zip(tokens, places, strict=True)
        ]
        sequences = list(zip(tokens, places, masks, strict=True))

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            out = torch.empty_like(q)
            for own, slots, mask in sequences:
                # As torch wants them: [1 sequence, heads, tokens, head_dim].
                queries = q[own].transpose(0, 1).unsqueeze(0)
                keys, values = kv_cache.slots(layer)[:, None, slots].transpose(2, 3)
                mixed = scaled_dot_product_attention(
                    queries, keys, values, attn_mask=mask, enable_gqa=True
                )
                out[own] = mixed.squeeze(0).transpose(0, 1)
            return out

        return attend


def _slots(
    block_table: Int[Tensor, " max_blocks"], context_len: int, block_size: int
) -> Int[Tensor, " context"]:
    """KV slot of each token of a sequence: the block table, applied."""
    positions = torch.arange(context_len, device=block_table.device)
    return block_table[positions // block_size].long() * block_size + positions % block_size


def _visible(
    positions: Int[Tensor, " queries"], context_len: int
) -> Bool[Tensor, "queries context"] | None:
    """Which keys each query sees; None for a single query, which is the newest and sees all."""
    if len(positions) == 1:
        return None
    return torch.arange(context_len, device=positions.device) <= positions[:, None]
