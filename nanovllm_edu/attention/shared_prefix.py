"""Which sequences of a step share their first blocks, and how attention is put together again.

Sequences with the same prefix have the same blocks at the head of their block tables (prefix
caching saw to that), so a decode step would read these blocks once per sequence. Read once instead,
they are multiplied with the queries of all: the reading is saved, and many thin products become a
thick one. Softmax allows it, because attention over two sets of keys is a weighted mean of the
attentions over each, and the weights follow from each set's log-sum-exp.

It knows nothing of tensors' layouts. Used by `attention/sdpa.py`.

Source: Hydragen (Juravsky et al., 2024); the joining is that of FlashAttention's tiles.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Family(NamedTuple):
    """Sequences that begin with the same `num_shared` tokens; 0 if they share nothing."""

    rows: list[int]
    num_shared: int


def families(
    rows: Sequence[int],
    block_tables: Sequence[Sequence[int]],
    context_lens: Sequence[int],
    block_size: int,
    min_saved: int,
) -> Iterator[Family]:
    """Splits rows of a batch into families, and one last group of all that have none.

    Args:
        rows: Which of the batch's sequences.
        block_tables: Of every sequence in the batch.
        context_lens: Of every sequence in the batch.
        block_size: Tokens per block.
        min_saved: A family is worth its extra calls if so many tokens need not be read again.
    """
    relatives: dict[int, list[int]] = {}
    for row in rows:
        relatives.setdefault(block_tables[row][0], []).append(row)
    others: list[int] = []
    for members in relatives.values():
        num_shared = _num_shared(members, block_tables, context_lens, block_size)
        if (len(members) - 1) * num_shared >= min_saved:
            yield Family(members, num_shared)
        else:
            others += members
    if others:
        yield Family(others, 0)


def _num_shared(
    members: Sequence[int],
    block_tables: Sequence[Sequence[int]],
    context_lens: Sequence[int],
    block_size: int,
) -> int:
    """Tokens in the blocks at the head of every member's table, leaving each at least one."""
    num_whole = (min(context_lens[row] for row in members) - 1) // block_size
    columns = zip(*(block_tables[row][:num_whole] for row in members), strict=True)
    return block_size * sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


Partial = tuple[Float[Tensor, "tokens heads head_dim"], Float[Tensor, "tokens heads"]]
"""Attention over some of the keys, and the log-sum-exp of its scores."""


def join(first: Partial, second: Partial) -> Float[Tensor, "tokens heads head_dim"]:
    """Attention over the keys of both."""
    (first_out, first_lse), (second_out, second_lse) = first, second
    weight = torch.sigmoid(second_lse - first_lse).unsqueeze(-1)  # e^b / (e^a + e^b)
    return torch.lerp(first_out, second_out, weight)
