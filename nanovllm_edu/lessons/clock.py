"""Serving against a clock: requests arrive at their time, each step takes its time, users wait.

    served = serve(engine, arrivals, StepCost())
    served.ttft(0)        milliseconds from arrival to the first token of sequence 0
    served.gaps(0)        milliseconds between its successive tokens

The clock is simulated: a step costs what `StepCost` says, so the same policy gives the same
milliseconds on any machine. What is *in* each step is decided by the real engine.

Read next: `arena.py`, which scores policies with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

from nanovllm_edu.core.events import Preempted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.lessons.checks import greedy
from nanovllm_edu.waiting_room import WaitingRoom


class Arrival(NamedTuple):
    """A request and when it comes, in milliseconds."""

    at_ms: float
    prompt: list[int]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step takes: reading the weights once, and arithmetic for every token.

    The defaults are the order of magnitude of a model of 8 billion parameters in bfloat16 on a GPU
    with 1.6 TB/s and 160 TFLOP/s in practice: 16 GB / 1.6 TB/s = 10 ms, and 16 GFLOP per token =
    0.1 ms. The two are added; a real GPU overlaps some of it.
    """

    step_ms: float = 10.0
    token_ms: float = 0.1

    def of(self, num_tokens: int) -> float:
        """Milliseconds of a step of `num_tokens` tokens."""
        return self.step_ms + self.token_ms * num_tokens


@dataclass(frozen=True, slots=True)
class Served:
    """What the users of a run saw.

    Attributes:
        recording: Every step; `widgets.show(recording)` opens it in the viewer.
        arrived_ms: seq_id -> when it came.
        token_ms: seq_id -> when each of its tokens came.
        tokens: seq_id -> those tokens.
        end_ms: When the last step ended.
    """

    recording: Recording
    arrived_ms: dict[int, float]
    token_ms: dict[int, list[float]]
    tokens: dict[int, list[int]]
    end_ms: float

    @property
    def records(self) -> tuple[StepRecord, ...]:
        """The records of the steps."""
        return self.recording.records

    def ttft(self, seq_id: int) -> float:
        """Time to first token."""
        return self.token_ms[seq_id][0] - self.arrived_ms[seq_id]

    def gaps(self, seq_id: int) -> list[float]:
        """Inter-token latencies."""
        return [after - before for before, after in pairwise(self.token_ms[seq_id])]

    @property
    def mean_ttft(self) -> float:
        """Over all sequences."""
        return sum(map(self.ttft, self.token_ms)) / len(self.token_ms)

    @property
    def all_gaps(self) -> list[float]:
        """Of all sequences, smallest first."""
        return sorted(gap for seq_id in self.token_ms for gap in self.gaps(seq_id))

    @property
    def num_preemptions(self) -> int:
        """How often a sequence was sent back."""
        return sum(len(record.preempted) for record in self.records)

    @property
    def num_recomputed_tokens(self) -> int:
        """Tokens that went through the model more than once."""
        computed = sum(record.num_tokens for record in self.records)
        distinct = {
            (span.seq_id, position)
            for record in self.records
            for span in record.spans
            for position in range(span.start, span.end)
        }
        return computed - len(distinct)


class Room(Protocol):
    """Where requests wait: `WaitingRoom`, or a learner's own. Times in seconds."""

    def enter(self, guest: int, now: float) -> None: ...

    def overdue(self, now: float) -> Iterable[int]: ...


def serve(
    engine: LLMEngine,
    arrivals: Sequence[Arrival],
    cost: StepCost | None = None,
    max_steps: int = 5000,
    *,
    room: Room | None = None,
    users: int | None = None,
) -> Served:
    """Runs an engine against the clock until everybody is served.

    Args:
        engine: Fresh; its seq_ids follow the order of `arrivals`.
        arrivals: In order of time.
        cost: Of a step.
        max_steps: An engine that needs more runs in circles.
        room: Who waits in it and has not begun when it says so is turned away, and gets no token.
        users: A closed loop of so many: each arrival comes when there are fewer, whatever its time.
    """
    cost = cost or StepCost()
    pending, recorder, now = list(arrivals), Recorder(engine), 0.0
    arrived: dict[int, float] = {}
    times: dict[int, list[float]] = {}
    tokens: dict[int, list[int]] = {}
    room = room or WaitingRoom[int]()

    def is_due(arrival: Arrival) -> bool:
        return arrival.at_ms <= now if users is None else len(engine.unfinished_seq_ids()) < users

    while pending or engine.has_unfinished_requests():
        if users is None and not engine.has_unfinished_requests():
            now = max(now, pending[0].at_ms)
        while pending and is_due(pending[0]):
            arrival = pending.pop(0)
            seq_id = recorder.add_request(list(arrival.prompt), greedy(arrival.max_tokens))
            arrived[seq_id] = arrival.at_ms if users is None else now
            room.enter(seq_id, arrived[seq_id] / 1e3)
        for seq_id in room.overdue(now / 1e3):
            seq = engine.scheduler.queues.find(seq_id)
            if seq is not None and not seq.has_begun:
                recorder.abort_request(seq_id)
        if not engine.has_unfinished_requests():
            continue
        assert len(recorder) < max_steps, f"not done after {max_steps} steps"
        record = recorder.step()
        now += cost.of(record.num_tokens)
        for seq_id, new in record.new_tokens.items():
            times.setdefault(seq_id, []).extend([now] * len(new))
            tokens.setdefault(seq_id, []).extend(new)
    return Served(recorder.recording, arrived, times, tokens, now)


def preemptions(records: Sequence[StepRecord]) -> list[Preempted]:
    """Every preemption, with its reason."""
    events = (event for record in records for event in record.events)
    return [event for event in events if isinstance(event, Preempted)]
