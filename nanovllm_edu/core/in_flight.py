"""`InFlightStep`: a step on its way, from its launch to its record.

While it is in flight, later steps may be planned, and the queues move on. So it keeps how things
stood when it was planned, and its record tells of that moment.

Read next: `core/step_record.py`, then `engine.py`, which launches steps and commits them.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from nanovllm_edu.core.model_runner import Ticket
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.scheduler import Settled
from nanovllm_edu.core.step_record import StepRecord


class InFlightStep(NamedTuple):
    """A launched plan, and what the queues looked like when it was made."""

    plan: StepPlan
    ticket: Ticket
    waiting: tuple[int, ...]
    block_tables: Mapping[int, tuple[int, ...]]
    plan_seconds: float

    @classmethod
    def of(cls, plan: StepPlan, ticket: Ticket, queues: Queues, plan_seconds: float) -> Self:
        """The newest plan, launched."""
        tables = {seq_id: seq.table() for seq_id, seq in queues.running.items()}
        return cls(plan, ticket, tuple(queues.waiting), tables, plan_seconds)

    def record(
        self, output: StepOutput, settled: Settled, num_in_flight: int, commit_seconds: float
    ) -> StepRecord:
        """What the step decided and did, once its tokens are committed."""
        logprobs = {
            seq_id: values[: len(settled.new_tokens[seq_id])]
            for seq_id, values in output.logprobs.items()
            if seq_id in settled.new_tokens
        }
        return StepRecord(
            plan=self.plan,
            new_tokens=settled.new_tokens,
            finished=settled.finished,
            effects=settled.events,
            waiting=_without(self.waiting, settled.finished),
            block_tables=self.block_tables,
            logprobs=logprobs,
            num_in_flight=num_in_flight,
            timings={"plan": self.plan_seconds, **output.timings, "commit": commit_seconds},
            rank_timings=output.rank_timings,
        )


def _without(seq_ids: tuple[int, ...], finished: Mapping[int, str]) -> tuple[int, ...]:
    return tuple(i for i in seq_ids if i not in finished) if finished else seq_ids
