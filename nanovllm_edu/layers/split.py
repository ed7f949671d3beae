"""The three places where a rank needs the others: two sums, and the vocabulary.

Each rank runs the same steps in the same order, so all of them meet at each of these calls. What
comes out is the same on all of them, to the last bit: each then draws the same token by itself.

Read next: `runners/rank.py`.
"""

from dataclasses import dataclass, field
from enum import Enum
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.linear import Linear


class Place(Enum):
    """Where in a step a sum is made."""

    ATTENTION = 0
    MLP = 1
    VOCABULARY = 2


@runtime_checkable
class Sums(Protocol):
    """Who sums faster than the library, up to so many bytes. (`kernels/hopper/peer_sum.py`)"""

    most_bytes: int

    @property
    def spent(self) -> Tensor:
        """int64 [], nanoseconds spent in sums on the device so far."""
        ...

    def wait_at_most(self, seconds: float) -> None:
        """Sets how long a rank is waited for; after that the process ends with an error."""
        ...

    def sum(self, x: Tensor, place: Place) -> Tensor:
        """The sum of everybody's `x`, in place."""
        ...


class Stopwatch:
    """Adds up the seconds that the host spends inside it.

    On a CPU that is how long a rank waits for the others and sums. A GPU's host only launches.
    """

    def __init__(self) -> None:
        self.seconds = self._begin = 0.0

    def __enter__(self) -> None:
        self._begin = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += perf_counter() - self._begin

    def take(self) -> float:
        """The seconds since it was asked last."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@dataclass(frozen=True, slots=True)
class Ranks:
    """Who shares a model.

    Attributes:
        rank: Who we are.
        num_ranks: How many there are.
        group: Through which they meet: one of `torch.distributed`; None is that of all processes.
        sums: Who makes the smaller sums, if not the library.
        stopwatch: What the meetings of a step took.
    """

    rank: int
    num_ranks: int
    group: Any = None
    sums: Sums | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def sum(self, part: Tensor, place: Place) -> Tensor:
        """The sum of everybody's part, in place."""
        with self.stopwatch:
            if self.sums is not None and part.nbytes <= self.sums.most_bytes:
                return self.sums.sum(part, place)
            dist.all_reduce(part, group=self.group)
            return part

    def concatenate(self, part: Float[Tensor, "rows part"]) -> Float[Tensor, "rows whole"]:
        """Everybody's columns, side by side."""
        with self.stopwatch:
            rows, width = part.shape
            parts = part.new_empty(self.num_ranks, rows, width)
            dist.all_gather(list(parts), part.contiguous(), group=self.group)
            return parts.movedim(0, 1).flatten(1)


class SummedLinear(Linear):
    """A matrix of which each rank has some columns, and each input row the same ones."""

    def __init__(self, like: Linear, ranks: Ranks, place: Place) -> None:
        outputs, inputs = like.weight.shape
        has_bias = like.bias is not None
        super().__init__(inputs, outputs, bias=has_bias, dtype=like.weight.dtype)
        self.ranks, self.place = ranks, place

    def forward(self, x: Float[Tensor, "tokens inputs"]) -> Float[Tensor, "tokens outputs"]:
        """Multiply, and add what the others have multiplied."""
        return self.ranks.sum(super().forward(x), self.place)


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
        return self.ranks.sum(found * is_here[:, None], Place.VOCABULARY)

    def scores(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """The logits of the whole vocabulary."""
        return self.ranks.concatenate(super().scores(hidden))[:, : self.vocab_size]
