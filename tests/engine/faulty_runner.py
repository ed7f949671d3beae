"""A device that fails: in `launch` or in `wait`, half-way, leaving garbage where it was working."""

from collections.abc import Iterable
from typing import Any

from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket

GARBAGE = 0x6A3BA6E


class DeviceFailure(RuntimeError):
    """What a device raises when it fails."""


class FailedTicket(ReadyTicket):
    def wait(self) -> Any:
        raise DeviceFailure("the device failed while it was waited for")


class FaultyRunner(ChecksumRunner):
    """Fails at the launches whose numbers are in `in_launch` or `in_wait`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.in_launch: set[int] = set()
        self.in_wait: set[int] = set()
        self.num_launches = 0

    def fail(self, *, in_launch: Iterable[int] = (), in_wait: Iterable[int] = ()) -> None:
        """Plans failures, counted from now on: 0 is the next launch."""
        self.in_launch = {self.num_launches + i for i in in_launch}
        self.in_wait = {self.num_launches + i for i in in_wait}

    def launch(self, plan: StepPlan) -> ReadyTicket:
        number, self.num_launches = self.num_launches, self.num_launches + 1
        if number in self.in_launch:
            half = plan.chunks[: len(plan.chunks) // 2 + 1]
            self._spoil(half)
            raise DeviceFailure("the device failed in the middle of a launch")
        ticket = super().launch(plan)
        if number in self.in_wait:
            self._spoil(plan.chunks)
            return FailedTicket(ticket.tokens)
        return ticket

    def _spoil(self, chunks: tuple[Chunk, ...]) -> None:
        for chunk in chunks:
            self._store(chunk)
            self._last_sampled[chunk.slot] = GARBAGE
            for position in range(chunk.start, chunk.end):
                self._kv[self._slot(self._block_tables[chunk.slot], position)] = GARBAGE
