"""`Branch`: an engine that is driven and recorded, and `Branches`: it and its fork, step by step.

Both are moved by one *position*. A fork whose sequences went on where they were has the steps
before it as its own history; one whose sequences are computed anew begins there.

It knows nothing of what shows them. Read next: `forking.py`, which says what a fork can change;
`introspect/rewind.py`; `widgets/branch.py` and `live/session.py`, which show them.
"""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.forking import KEEPS_CACHE
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.rewind import Rewinder


class Branch:
    """One engine and its recorder.

    Args:
        recorder: Around the engine.
        begin: Position of its first step.
        name: What tells it from the other one.
    """

    def __init__(self, recorder: Recorder, begin: int = 0, name: str = "as it is") -> None:
        self.recorder, self.begin, self.name = recorder, begin, name

    @property
    def last(self) -> int:
        """Position of its newest step."""
        return self.begin + len(self.recorder) - 1

    @property
    def has_work(self) -> bool:
        """Whether any of its sequences waits or runs."""
        return self.recorder.engine.has_unfinished_requests()

    def record(self, position: int) -> StepRecord | None:
        """The step at a position, if it has one there."""
        is_own = self.begin <= position <= self.last
        return self.recorder.record(position - self.begin) if is_own else None

    def advance_to(self, position: int) -> None:
        """Steps the engine until it has been there, or has nothing left to do."""
        while self.last < position and self.has_work:
            self.recorder.step()

    def shown_for(self, position: int) -> int:
        """The position that it can show: its beginning or its end if there is nothing there."""
        return max(self.begin - 1, min(position, self.last))

    def facts(self, since: int, position: int) -> str:
        """What its steps from one position to another came to."""
        asked = map(self.record, range(since, position + 1))
        records = [record for record in asked if record is not None]
        facts = [
            counted(len(records), "step"),
            counted(sum(len(tokens) for r in records for tokens in r.new_tokens.values()), "token"),
            f"{sum(len(r.preempted) for r in records)} preempted",
            f"{sum(len(r.finished) for r in records)} finished",
        ]
        return ", ".join(facts)

    def set_temperature(self, temperature: float, seq_id: int | None, is_lenient: bool) -> None:
        """For one sequence or all. `is_lenient`: the sequence may have finished here already."""
        unfinished = sorted(self.recorder.engine.unfinished_seq_ids())
        chosen = unfinished if seq_id is None else [seq_id]
        for chosen_id in chosen:
            if chosen_id in unfinished or not is_lenient:
                self.recorder.update_request(chosen_id, temperature=temperature)


AnyBranch = TypeVar("AnyBranch", bound=Branch)


class Branches(Generic[AnyBranch]):
    """The engine, and its fork if there is one."""

    def __init__(self, main: AnyBranch) -> None:
        self.main = main
        self.fork: AnyBranch | None = None
        self.since = 0
        """Position of the first step after the fork."""

    def __iter__(self) -> Iterator[AnyBranch]:
        yield self.main
        if self.fork is not None:
            yield self.fork

    @property
    def last(self) -> int:
        """The newest position of either."""
        return max(branch.last for branch in self)

    @property
    def has_work(self) -> bool:
        """Whether any sequence of either waits or runs."""
        return any(branch.has_work for branch in self)

    def advance_to(self, position: int) -> list[StepRecord]:
        """Steps both until they have been there; returns what happened there."""
        for branch in self:
            branch.advance_to(position)
        return [record for branch in self if (record := branch.record(position))]

    def first_difference(self, position: int) -> int | None:
        """The first step since the fork, up to a position, that the two took differently."""
        for at in range(self.since, position + 1):
            one, other = (branch.record(at) for branch in self)
            if one != other:
                return at
        return None

    def set_temperature(self, temperature: float, seq_id: int | None) -> None:
        """In both; a sequence that finished in the fork is left alone there."""
        for branch in self:
            branch.set_temperature(temperature, seq_id, is_lenient=branch is self.fork)


def fork_branch(origin: Branch, rewinder: Rewinder, at: int, changes: dict[str, Any]) -> Branch:
    """A copy of the engine as it was after step `at`, with some options changed.

    Raises:
        ConfigError: An option that a fork cannot change.
        RecordingError: The steps up to there cannot be repeated.
    """
    recording = origin.recorder.recording
    forked = _fork(origin.recorder.engine, recording, rewinder, at, changes)
    names = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "no change"
    has_past = changes.keys() <= KEEPS_CACHE
    recorder = Recorder(forked, recording.begin(at) if has_past else None)
    return Branch(recorder, 0 if has_past else at + 1, f"fork with {names}")


def _fork(
    engine: LLMEngine, recording: Recording, rewinder: Rewinder, at: int, changes: dict[str, Any]
) -> LLMEngine:
    if at == len(recording) - 1:
        return engine.fork(**changes)
    with rewinder.engine_at(recording, at) as earlier:
        return earlier.fork(**changes)
