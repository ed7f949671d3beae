"""Attention with torch's `scaled_dot_product_attention`: the fast backend on a CPU.

torch cannot read through a block table, so keys and values are first gathered into a padded
rectangle. Sequences with one new token (decode) go together, without a Python loop; a sequence with
more (prefill) goes alone, since its rectangle is its own.

Slow twin: `attention/reference.py`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.runners.batch import Batch
from nanovllm_edu.runners.kv_cache import KVCache


@dataclass(frozen=True, slots=True)
class _Group:
    """Sequences attended together: n with the same number of new tokens.

    `tokens` picks their rows out of the batch, `slots` their KV out of the cache, and `mask` says
    which of those keys a query sees (None: plain causal).
    """

    num_sequences: int
    tokens: Int[Tensor, " rows"] | slice
    slots: Int[Tensor, " slots"]
    mask: Bool[Tensor, "n 1 queries context"] | None


class SdpaAttention:
    """Gathers a step's keys and values into rectangles for torch's fused attention."""

    name = "sdpa"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        groups = _decode_group(batch, kv_cache.block_size)
        groups += _prefill_groups(batch, kv_cache.block_size)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            slots = kv_cache.slots(layer)
            out = torch.empty_like(q)
            for group in groups:
                out[group.tokens] = _attend_group(group, q[group.tokens], slots)
            return out

        return attend


def _decode_group(batch: Batch, block_size: int) -> list[_Group]:
    """All sequences with one new token, padded to the longest of their contexts."""
    rows = [i for i, query_len in enumerate(batch.query_lens) if query_len == 1]
    if not rows:
        return []
    device = batch.slots.device
    index = torch.tensor(rows, device=device)
    context_lens = batch.context_lens[index]
    positions = torch.arange(int(context_lens.max()), device=device)
    slots = _slots_of(batch.block_tables[index], positions, block_size)
    mask = (positions[None, :] < context_lens[:, None])[:, None, None, :]
    tokens = slice(None) if len(rows) == len(batch.token_ids) else batch.query_starts[index].long()
    return [_Group(len(rows), tokens, slots.flatten(), mask)]


def _prefill_groups(batch: Batch, block_size: int) -> list[_Group]:
    """Each sequence with several new tokens by itself."""
    groups: list[_Group] = []
    device = batch.slots.device
    first_token = 0
    context_lens = batch.context_lens.tolist() if batch.max_query_len > 1 else []
    for i, query_len in enumerate(batch.query_lens):
        tokens = slice(first_token, first_token + query_len)
        first_token += query_len
        if query_len == 1:
            continue
        keys = torch.arange(context_lens[i], device=device)
        queries = keys[context_lens[i] - query_len :]
        is_whole = query_len == context_lens[i]
        mask = None if is_whole else (keys[None, :] <= queries[:, None])[None, None]
        slots = _slots_of(batch.block_tables[i][None], keys, block_size)
        groups.append(_Group(1, tokens, slots.flatten(), mask))
    return groups


def _slots_of(
    block_tables: Int[Tensor, "n max_blocks"], positions: Int[Tensor, " context"], block_size: int
) -> Int[Tensor, "n context"]:
    """KV slots of the given positions in each sequence: the block table, applied."""
    blocks = block_tables[:, positions // block_size].long()
    return blocks * block_size + positions % block_size


def _attend_group(
    group: _Group,
    q: Float[Tensor, "rows heads head_dim"],
    slots: Float[Tensor, "2 slots kv_heads head_dim"],
) -> Float[Tensor, "rows heads head_dim"]:
    n, (_, num_heads, head_dim) = group.num_sequences, q.shape
    num_kv_heads = slots.shape[2]
    keys, values = (
        slots[i][group.slots].view(n, -1, num_kv_heads, head_dim).transpose(1, 2) for i in (0, 1)
    )
    queries = q.view(n, -1, num_heads, head_dim).transpose(1, 2)
    if group.mask is not None and queries.shape[2] == 1:
        # One query: the heads that share a KV head become its queries, and no key is repeated.
        queries = queries.view(n, num_kv_heads, num_heads // num_kv_heads, head_dim)
        out = scaled_dot_product_attention(queries, keys, values, attn_mask=group.mask)
        return out.reshape(n, num_heads, head_dim)
    out = scaled_dot_product_attention(
        queries, keys, values, attn_mask=group.mask, is_causal=group.mask is None, enable_gqa=True
    )
    return out.transpose(1, 2).reshape(-1, num_heads, head_dim)
