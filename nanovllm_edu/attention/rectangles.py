"""Who is attended together, for backends that must gather keys and values first: decided per step.

A rectangle is a set of sequences with equally many new tokens, and the slots of the keys they look
at, padded to the longest.

    prefill   a sequence with several new tokens goes alone: its rectangle is its own
    decode    sequences with one new token go together, those of similar length side by side, so
              that little is padded; and no more than a core's cache holds, because what has been
              gathered is read again at once
    prefix    where many of those begin with the same blocks, these are read once for all of them

So decode loops over rectangles of two megabytes, and not over sequences. Nothing here looks at a
key. Read next: `attention/shared_prefix.py`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.attention.shared_prefix import Family, families
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache

RECTANGLE_BYTES = 2**21
"""Keys and values of one decode rectangle: about the size of a core's own cache."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Tokens attended together, and the keys and values they look at.

    Attributes:
        tokens: Their rows in the batch, as many for each of n sequences.
        num_sequences: n.
        slots: KV slots of each sequence, padded to the longest.
        mask: Added to the scores, -inf where a query must not look; None if there is no padding
            (and then prefill is plainly causal).
    """

    tokens: range | list[int]
    num_sequences: int
    slots: Int[Tensor, " padded_contexts"]
    mask: Float[Tensor, "n 1 queries context"] | None


@dataclass(frozen=True, slots=True)
class DecodeGroup:
    """A family of sequences with one new token each.

    Attributes:
        tokens: Their rows in the batch, rectangle after rectangle.
        rectangles: What each sequence has for itself.
        prefix: What they all share, if anything: one sequence of keys that every token looks at.
    """

    tokens: list[int]
    rectangles: list[Rectangle]
    prefix: Rectangle | None


def prefill_rectangles(batch: Batch, kv_cache: KVCache) -> Iterator[Rectangle]:
    """Each sequence with several new tokens by itself."""
    if batch.max_query_len == 1:
        return
    context_lens = batch.context_lens.tolist()
    end = 0
    for i, query_len in enumerate(batch.query_lens):
        start, end = end, end + query_len
        if query_len == 1:
            continue
        slots = _slots(batch.block_tables[i][None], 0, context_lens[i], kv_cache.block_size)
        num_seen = batch.positions[start:end, None] + 1
        is_whole = query_len == context_lens[i]
        mask = None if is_whole else _mask(num_seen, context_lens[i], kv_cache.data)[None, None]
        yield Rectangle(range(start, end), 1, slots.flatten(), mask)


def decode_groups(batch: Batch, kv_cache: KVCache) -> Iterator[DecodeGroup]:
    """The sequences with one new token, family by family."""
    rows = [i for i, query_len in enumerate(batch.query_lens) if query_len == 1]
    if not rows:
        return
    context_lens, starts = batch.context_lens.tolist(), batch.query_starts.tolist()
    rows.sort(key=context_lens.__getitem__, reverse=True)
    # A family pays for its own calls if it saves the reading of a rectangle. Joining its halves
    # needs a log-sum-exp, which torch gives away on a CPU only.
    is_cpu = batch.rows.device.type == "cpu"
    min_saved = RECTANGLE_BYTES // _token_bytes(kv_cache) if is_cpu else sys.maxsize
    tables = batch.block_tables.tolist()
    for family in families(rows, tables, context_lens, kv_cache.block_size, min_saved):
        lengths = [context_lens[i] - family.num_shared for i in family.rows]
        tokens = [starts[i] for i in family.rows]
        own = list(_cut(batch, family, lengths, tokens, kv_cache))
        yield DecodeGroup(tokens, own, _prefix(batch, family, tokens, kv_cache.block_size))


def _cut(
    batch: Batch, family: Family, lengths: list[int], tokens: list[int], kv_cache: KVCache
) -> Iterator[Rectangle]:
    """Rectangles over the keys that each sequence has for itself; `lengths` descend."""
    first, longest = family.num_shared, lengths[0]
    tables = batch.block_tables[family.rows]
    slots = _slots(tables, first, first + longest, kv_cache.block_size)
    mask = _mask(batch.context_lens[family.rows][:, None] - first, longest, kv_cache.data)
    begin, size = 0, RECTANGLE_BYTES // _token_bytes(kv_cache)
    while begin < len(lengths):
        width = lengths[begin]
        mine = slice(begin, begin + max(1, size // width))
        padded = slots[mine, :width]
        begin = mine.stop
        yield Rectangle(tokens[mine], len(padded), padded.flatten(), mask[mine, None, None, :width])


def _prefix(batch: Batch, family: Family, tokens: list[int], block_size: int) -> Rectangle | None:
    """The shared keys of a family, as those of a single sequence."""
    if family.num_shared == 0:
        return None
    table = batch.block_tables[family.rows[0]][None]
    return Rectangle(tokens, 1, _slots(table, 0, family.num_shared, block_size).flatten(), None)


def _token_bytes(kv_cache: KVCache) -> int:
    """Size of one token's keys and values in one layer."""
    return kv_cache.data[0, :, 0, 0].nbytes


def _slots(
    block_tables: Int[Tensor, "n max_blocks"], start: int, end: int, block_size: int
) -> Int[Tensor, "n context"]:
    """KV slots of the positions [start, end) of each sequence: the block table, applied."""
    positions = torch.arange(start, end, device=block_tables.device)
    blocks = block_tables[:, positions // block_size].long()
    return blocks * block_size + positions % block_size


def _mask(
    num_seen: Int[Tensor, "rows 1"], num_keys: int, like: Tensor
) -> Float[Tensor, "rows context"]:
    """0 for the keys that a row sees, -inf for the rest."""
    keys = torch.arange(num_keys, device=like.device)
    return like.new_zeros(len(num_seen), num_keys).masked_fill_(keys >= num_seen, -torch.inf)
