"""Ranks in threads of one process, for tests: they meet at a table instead of over a network."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.layers.split import Place, Ranks, Sums


@dataclass
class Table:
    """Where ranks in threads of one process meet, instead of processes."""

    num_ranks: int
    parts: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = [None] * self.num_ranks
        self.turn = threading.Lock()  # one works at a time: Triton's interpreter has one state
        self.barrier = threading.Barrier(self.num_ranks, timeout=30)

    def meet(self, rank: int, part: Tensor) -> list[Tensor]:
        self.parts[rank] = part.clone()
        self._wait()
        parts = list(self.parts)
        self._wait()
        return parts

    def _wait(self) -> None:
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()


class Threads(Ranks):
    """A rank that meets the others at a table."""

    def __init__(self, rank: int, table: Table, sums: Sums | None = None) -> None:
        super().__init__(rank, table.num_ranks, table, sums)

    def sum(self, part: Tensor, place: Place) -> Tensor:
        return torch.stack(self.group.meet(self.rank, part)).sum(0)

    def concatenate(self, part: Tensor) -> Tensor:
        return torch.cat(self.group.meet(self.rank, part), dim=-1)


def together(num_ranks: int, work: Callable[[int, Table], Any]) -> list[Any]:
    """What each rank's work gives."""
    table, results = Table(num_ranks), [None] * num_ranks

    def run(rank: int) -> None:
        with table.turn:
            results[rank] = work(rank, table)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
