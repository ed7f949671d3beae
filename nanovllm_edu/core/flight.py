"""`Flight`: a step on its way, from its launch to its record.

While it is in flight, later steps may be planned, and the queues move on. So a flight keeps how
things stood when it was planned, and its record tells of that moment.

Read next: `core/step_record.py`, then `engine.py`, which launches flights and commits them.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nanovllm_edu.core.model_runner import Ticket
from nanovllm_edu.core.packed import PackedChunks, PackedEvents, PackedTables
from nanovllm_edu.core.plan import StepPlan, StepResult
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.step_record import StepRecord


class Flight(NamedTuple):
    """A launched plan, and what the queues looked like when it was made."""

    plan: StepPlan
    ticket: Ticket
    waiting: tuple[int, ...]
    running: tuple[int, ...]
    block_tables: PackedTables
    plan_seconds: float

    @classmethod
    def of(cls, plan: StepPlan, ticket: Ticket, queues: Queues, plan_seconds: float) -> Self:
        """The flight of the newest plan."""
        running = tuple(queues.running)
        tables = PackedTables(running, tuple([seq.table() for seq in queues.running.values()]))
        return cls(plan, ticket, tuple(queues.waiting), running, tables, plan_seconds)

    def record(
        self, result: StepResult, chunks: PackedChunks, num_in_flight: int, commit_seconds: float
    ) -> StepRecord:
        """What the step decided and did, once its tokens are committed."""
        plan, ticket = self.plan, self.ticket
        return StepRecord(
            step_id=plan.step_id,
            chunks=chunks,
            new_tokens=result.new_tokens,
            finished=result.finished,
            events=PackedEvents(plan, result),
            waiting=_without(self.waiting, result.finished),
            running=_without(self.running, result.finished),
            block_tables=self.block_tables,
            blocked=plan.blocked,
            preempted=plan.preempted,
            logprobs={i: v for i, v in ticket.logprobs.items() if i in result.new_tokens},
            num_in_flight=num_in_flight,
            timings={"plan": self.plan_seconds, **ticket.timings, "commit": commit_seconds},
        )


def _without(seq_ids: tuple[int, ...], finished: Mapping[int, str]) -> tuple[int, ...]:
    return tuple(i for i in seq_ids if i not in finished) if finished else seq_ids
