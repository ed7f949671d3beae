"""The three places where a rank needs the others: two sums, and the vocabulary.

Each rank runs the same steps in the same order, so all of them meet at each of these calls. What
comes out is the same on all of them, to the last bit: each then draws the same token by itself.

Read next: `runners/rank.py`.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.linear import Linear


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who shares a model.

    Attributes:
        rank: Who we are.
        num_ranks: How many there are.
        group: Through which they meet: one of `torch.distributed`; None is that of all processes.
    """

    rank: int
    num_ranks: int
    group: Any = None

    def sum(self, part: Tensor) -> Tensor:
        """The sum of everybody's part, in place."""
        dist.all_reduce(part, group=self.group)
        return part

    def concatenate(self, part: Float[Tensor, "rows part"]) -> Float[Tensor, "rows whole"]:
        """Everybody's columns, side by side."""
        parts = [torch.empty_like(part) for _ in range(self.num_ranks)]
        dist.all_gather(parts, part.contiguous(), group=self.group)
        return torch.cat(parts, dim=-1)


class SummedLinear(Linear):
    """A matrix of which each rank has some columns, and each input row the same ones."""

    def __init__(self, like: Linear, ranks: Ranks) -> None:
        outputs, inputs = like.weight.shape
        has_bias = like.bias is not None
        super().__init__(inputs, outputs, bias=has_bias, dtype=like.weight.dtype)
        self.ranks = ranks

    def forward(self, x: Float[Tensor, "tokens inputs"]) -> Float[Tensor, "tokens outputs"]:
        """Multiply, and add what the others have multiplied."""
        return self.ranks.sum(super().forward(x))


class SplitEmbedding(Embedding):
    """A vocabulary of which each rank has some rows.

    Args:
        vocab_size: Of the whole.
        first: The token id of the rank's first row.
        num_rows: Rows on each rank; together they may be more than `vocab_size`.
        hidden_size: Length of a vector.
        dtype: The vectors' dtype.
        ranks: Who has the others.
    """

    def __init__(
        self,
        vocab_size: int,
        first: int,
        num_rows: int,
        hidden_size: int,
        *,
        dtype: torch.dtype,
        ranks: Ranks,
    ) -> None:
        super().__init__(num_rows, hidden_size, dtype=dtype)
        self.vocab_size, self.first, self.ranks = vocab_size, first, ranks

    def forward(self, token_ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens hidden"]:
        """Look up the rows that are here; the others add zero to them, and we to theirs."""
        rows = token_ids - self.first
        is_here = (rows >= 0) & (rows < len(self.weight))
        found = F.embedding(torch.where(is_here, rows, 0), self.weight)
        return self.ranks.sum(found * is_here[:, None])

    def scores(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """The logits of the whole vocabulary."""
        return self.ranks.concatenate(super().scores(hidden))[:, : self.vocab_size]
