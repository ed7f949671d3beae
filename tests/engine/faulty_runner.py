"""A device that fails: in `launch` or in `wait`, half-way, leaving garbage where it was working."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from nanovllm_edu.core.plan import Span, Spans, StepPlan
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
            half = plan.spans[: len(plan.spans) // 2 + 1]
            super().launch(replace(plan, spans=Spans(half)))
            self._spoil(half)
            raise DeviceFailure("the device failed in the middle of a launch")
        ticket = super().launch(plan)
        if number in self.in_wait:
            self._spoil(plan.spans[:])
            return FailedTicket(ticket.output)
        return ticket

    def _spoil(self, spans: tuple[Span, ...]) -> None:
        for span in spans:
            row = self._rows[span.row]
            if span.is_sampled:
                row.token_ids[span.end :] = [GARBAGE]
            for position in range(span.start, span.end):
                block, offset = self._slot(row.tables[0], position)
                self.slots(block)[offset] = GARBAGE
