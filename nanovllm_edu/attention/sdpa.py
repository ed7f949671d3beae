"""Attention with torch's `scaled_dot_product_attention`: the fast backend on a CPU.

torch cannot read through a block table, so keys and values are first gathered into a padded
rectangle. Which sequences share one is decided once per step:

    prefill   a sequence with several new tokens goes alone: its rectangle is its own
    decode    sequences with one new token go together, those of similar length side by side, so
              that little is padded; and no more than a core's cache holds, because what has been
              gathered is read again at once

So decode loops over rectangles of two megabytes, and not over sequences.

Slow twin: `attention/reference.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.runners.batch import Batch
from nanovllm_edu.runners.kv_cache import KVCache

RECTANGLE_BYTES = 2**21
"""Keys and values of one decode rectangle: about the size of a core's own cache."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Sequences attended together: n with the same number of new tokens.

    Attributes:
        tokens: Their rows in the batch, sequence after sequence.
        slots: Where their keys and values are; sequences are padded to the longest context.
        mask: Added to the scores, -inf where a query must not look; None for plain causal.
    """

    tokens: range | list[int]
    slots: Int[Tensor, "n context"]
    mask: Float[Tensor, "n 1 queries context"] | None


class SdpaAttention:
    """Gathers a step's keys and values into rectangles for torch's fused attention."""

    name = "sdpa"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        context_lens = batch.context_lens.tolist()
        groups = list(_prefill_groups(batch, context_lens, kv_cache))
        groups += _decode_groups(batch, context_lens, kv_cache)
        order = torch.tensor(list(chain(*(group.tokens for group in groups)))).to(batch.slots)
        back, sizes = order.argsort(), [len(group.tokens) for group in groups]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            keys, values = kv_cache.slots(layer)
            queries = q.index_select(0, order).split(sizes)
            parts = [_attend(*one, keys, values) for one in zip(groups, queries, strict=True)]
            return torch.cat(parts).index_select(0, back)

        return attend


def _prefill_groups(batch: Batch, context_lens: list[int], kv_cache: KVCache) -> Iterator[_Group]:
    """Each sequence with several new tokens by itself."""
    end = 0
    for i, query_len in enumerate(batch.query_lens):
        start, end = end, end + query_len
        if query_len == 1:
            continue
        slots = _slots(batch.block_tables[i][None], context_lens[i], kv_cache.block_size)
        num_seen = batch.positions[start:end, None] + 1
        is_whole = query_len == context_lens[i]
        mask = None if is_whole else _mask(num_seen, context_lens[i], kv_cache.data)[None, None]
        yield _Group(range(start, end), slots, mask)


def _decode_groups(batch: Batch, context_lens: list[int], kv_cache: KVCache) -> Iterator[_Group]:
    """The sequences with one new token, by length, cut where a rectangle would grow too big."""
    rows = [i for i, query_len in enumerate(batch.query_lens) if query_len == 1]
    if not rows:
        return
    rows.sort(key=context_lens.__getitem__)
    starts = batch.query_starts.tolist()
    slots = _slots(batch.block_tables[rows], context_lens[rows[-1]], kv_cache.block_size)
    mask = _mask(batch.context_lens[rows][:, None], slots.shape[1], kv_cache.data)[:, None, None]
    token_bytes = kv_cache.data[0, :, 0, 0].nbytes
    end = len(rows)
    while end > 0:
        longest = context_lens[rows[end - 1]]
        begin = max(0, end - max(1, RECTANGLE_BYTES // (longest * token_bytes)))
        tokens = [starts[i] for i in rows[begin:end]]
        yield _Group(tokens, slots[begin:end, :longest], mask[begin:end, ..., :longest])
        end = begin


def _slots(
    block_tables: Int[Tensor, "n max_blocks"], context_len: int, block_size: int
) -> Int[Tensor, "n context"]:
    """KV slots of the first positions of each sequence: the block table, applied."""
    positions = torch.arange(context_len, device=block_tables.device)
    blocks = block_tables[:, positions // block_size].long()
    return blocks * block_size + positions % block_size


def _mask(
    num_seen: Int[Tensor, "rows 1"], context_len: int, like: Tensor
) -> Float[Tensor, "rows context"]:
    """0 for the keys that a row sees, -inf for the rest."""
    keys = torch.arange(context_len, device=like.device)
    return like.new_zeros(len(num_seen), context_len).masked_fill_(keys >= num_seen, -torch.inf)


def _attend(
    group: _Group,
    q: Float[Tensor, "tokens heads head_dim"],
    keys: Float[Tensor, "slots kv_heads head_dim"],
    values: Float[Tensor, "slots kv_heads head_dim"],
) -> Float[Tensor, "tokens heads head_dim"]:
    (n, context_len), num_heads, (_, num_kv_heads, head_dim) = (
        group.slots.shape, q.shape[1], keys.shape
    )  # fmt: skip
    slots = group.slots.flatten()
    k, v = (
        rows.index_select(0, slots).view(n, context_len, num_kv_heads, head_dim).transpose(1, 2)
        for rows in (keys, values)
    )
    queries = q.view(n, -1, num_heads, head_dim).transpose(1, 2)
    if len(group.tokens) == n:
        # One query: the heads that share a KV head become its queries, and no key is repeated.
        queries = queries.view(n, num_kv_heads, -1, head_dim)
        out = scaled_dot_product_attention(queries, k, v, attn_mask=group.mask)
        return out.reshape(n, num_heads, head_dim)
    out = scaled_dot_product_attention(
        queries, k, v, attn_mask=group.mask, is_causal=group.mask is None, enable_gqa=True
    )
    return out.transpose(1, 2).reshape(-1, num_heads, head_dim)
