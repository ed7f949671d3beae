"""Attention in readable loops: slow on purpose, and the oracle of every other backend.

One token, one head at a time, each key looked up through the block table. If you want to know what
paged attention *is*, this file is all of it.

Read next: `attention/base.py`, the contract that it keeps; `native/paged_attention.c`, a kernel
that does the same on all cores; `attention/sdpa.py` for torch's, `attention/flash.py` for
flash-attn's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


class ReferenceAttention:
    """The definition, in float32."""

    name = "reference"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            out = torch.empty_like(q)
            token = 0
            for i, query_len in enumerate(batch.query_lens):
                context_len = int(batch.context_lens[i])
                keys = gather(kv_cache.keys(layer), batch.block_tables[i], context_len)
                values = gather(kv_cache.values(layer), batch.block_tables[i], context_len)
                for position in range(context_len - query_len, context_len):
                    out[token] = attend_one(q[token], keys[: position + 1], values[: position + 1])
                    token += 1
            return out

        return attend


def gather(
    blocks: Float[Tensor, "blocks block_size kv_heads head_dim"],
    block_table: Tensor,
    context_len: int,
) -> Float[Tensor, "context kv_heads head_dim"]:
    """Collects the first `context_len` keys (or values) of a sequence, wherever they lie."""
    block_size = blocks.shape[1]
    return torch.stack(
        [
            blocks[block_table[position // block_size], position % block_size]
            for position in range(context_len)
        ]
    )


def attend_one(
    q: Float[Tensor, "heads head_dim"],
    keys: Float[Tensor, "context kv_heads head_dim"],
    values: Float[Tensor, "context kv_heads head_dim"],
) -> Float[Tensor, "heads head_dim"]:
    """One query against its whole past: softmax(q·k / sqrt(head_dim))·v, head by head."""
    num_heads, head_dim = q.shape
    group = num_heads // keys.shape[1]  # grouped-query attention: `group` heads share a KV head
    out = torch.empty_like(q)
    for head in range(num_heads):
        scores = keys[:, head // group].float() @ q[head].float() / head_dim**0.5
        out[head] = (torch.softmax(scores, dim=0) @ values[:, head // group].float()).to(q.dtype)
    return out
