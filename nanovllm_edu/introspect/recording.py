"""`Recording`: what an engine did, frozen, and any moment of it on demand.

    recording[k]            the StepRecord of step k (a reference to the engine's own, no copy)
    recording.state_at(k)   the EngineState right after it, folded from the nearest key frame

It holds no engine and no tensor, and knows none of its readers: `storage`, `html_page`, `perfetto`
and `text` are functions of a recording. Read next: `introspect/journal.py`, what it is made of;
`introspect/fold.py`, which does the work; `introspect/recorder.py` makes recordings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.events import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.breakpoints import breakpoints_at
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.history import Request
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated

KEY_FRAME_INTERVAL = 64
"""Steps between the folds that a recording keeps, once it has passed there."""
NUM_ROWS = 20
"""Rows of the table that a notebook shows."""


class Recording:
    """The journal of an engine: requests, steps, aborts, in the order they happened.

    Attributes:
        initial: The state that everything is folded from.
        journal: Every entry, in order.
        engine: What the engine was: block_size, num_blocks, policy, ... as plain values.
        pieces: token id -> its text, if the engine had a tokenizer.
        records: The steps.

    Args:
        before: A recording with the same beginning, if there is one: what was found out about its
            entries is true of these, and its key frames are theirs.
    """

    def __init__(
        self,
        initial: Fold,
        journal: tuple[Entry, ...],
        engine: Mapping[str, Any],
        pieces: Mapping[int, str] | None = None,
        before: "Recording | None" = None,
    ) -> None:
        self.initial = initial
        self.journal = journal
        self.engine = dict(engine)
        self.pieces = dict(pieces or {})
        self._order = _Order() if before is None else before._order.copy()
        self._order.extend(journal)
        self.records = tuple(self._order.records)
        self._frames: dict[int, tuple[int, Fold]] = {} if before is None else before._frames

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> StepRecord:
        return self.records[index]

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self.records)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recording):
            return NotImplemented
        return (
            self.initial.freeze() == other.initial.freeze()
            and self.journal == other.journal
            and self.engine == other.engine
            and self.pieces == other.pieces
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def requests(self) -> dict[int, Request]:
        """seq_id -> what was asked for."""
        requests = dict(self.initial.history.requests)
        added = (entry.request for entry in self.journal if isinstance(entry, Added))
        return requests | {request.seq_id: request for request in added}

    # ------------------------------------------------------------------------ states

    def state_at(self, index: int) -> EngineState:
        """What `engine.state()` returned right after `recording[index]`.

        Args:
            index: In [-1, len(recording)). -1 is the moment before the first step.

        Raises:
            RecordingError: The index is out of range, or steps are missing from the recording.
        """
        if not -1 <= index < len(self):
            raise RecordingError(
                f"state_at({index}): the recording has {len(self)} steps, so give an index in "
                f"[-1, {len(self)}); -1 is the state before the first step."
            )
        return self.fold_to(index).freeze()

    def fold_to(self, index: int) -> Fold:
        """A fold of its own right after step `index`."""
        base = max((i for i in [*self._frames] if i <= index), default=None)
        position, fold = (0, self.initial) if base is None else self._frames[base]
        fold = fold.copy()
        for i in range(position, self._end(index)):
            self.advance(fold, i)
        return fold

    def entries_to(self, index: int) -> tuple[Entry, ...]:
        """The journal up to step `index` (-1: up to the first step)."""
        return self.journal[: self._end(index)]

    def begin(self, index: int) -> "Recording":
        """Its beginning, up to step `index`, for somebody who goes on from there.

        The journal is that of `entries_to`, or all of it after the last step. What folds learn
        about tokens is not shared with this recording: the other one may go another way.
        """
        initial, is_whole = self.initial.copy(), index == len(self) - 1
        initial.history = self.initial.history.only(initial.sequences)
        journal = self.journal if is_whole else self.entries_to(index)
        return Recording(initial, journal, self.engine, self.pieces)

    def _end(self, index: int) -> int:
        """Journal position after step `index`; before the first one, its requests are there."""
        if index >= 0:
            return self._order.positions[index] + 1
        return self._order.positions[0] if self.records else len(self.journal)

    def advance(self, fold: Fold, position: int) -> None:
        """Applies the journal's entry at a position to a fold that stands right before it.

        Keeps a key frame now and then.
        """
        entry = self.journal[position]
        match entry:
            case Added():
                fold.add(entry.request)
            case Aborted():
                fold.apply(entry.events)
                fold.reorder(entry.eviction_order)
            case Updated():
                pass
            case Resumed():
                fold.become(entry.frame)
            case Stepped():
                step = self._order.steps[position]
                self._apply_step(fold, step, entry)
                # A plan that was made by then may be recorded with a later step only.
                is_whole = fold.num_planned > step + entry.record.num_in_flight
                if step % KEY_FRAME_INTERVAL == 0 and is_whole and step not in self._frames:
                    self._frames[step] = position + 1, fold.copy()

    def _apply_step(self, fold: Fold, step: int, entry: Stepped) -> None:
        """Plans that were made before this commit take effect first (`run` plans ahead)."""
        is_alone = fold.num_planned == step and not entry.record.num_in_flight
        if step in self._order.gaps:
            raise _missing(step)
        last = self.last_planned(step)
        try:
            while fold.num_planned <= last:
                fold.plan(self.records[fold.num_planned].plan)
            fold.commit(entry.record)
        except (KeyError, IndexError, ValueError) as error:
            raise _missing(step) from error
        fold.reorder(entry.eviction_order)
        if is_alone and tuple(fold.running) != entry.record.running:
            raise _missing(step)

    def last_planned(self, step: int) -> int:
        """The newest step that was planned when `step` was committed, and not rolled back."""
        survived = [kept for end, kept in self._order.failures if end >= step]
        return min([step + self.records[step].num_in_flight, len(self) - 1, *survived])

    # ---------------------------------------------------------------------- in words

    def __repr__(self) -> str:
        return (
            f"Recording of {counted(len(self), 'step')} and "
            f"{counted(len(self.requests), 'sequence')}: "
            f"{self.engine['num_blocks']} blocks of {self.engine['block_size']} tokens, "
            f"{self.engine['policy']}, {self.engine['eviction_policy']}"
        )

    def _repr_html_(self) -> str:
        """A table of the first steps, for a notebook; `widgets.show` has all of them."""
        rows = [self._row(index) for index in range(min(len(self), NUM_ROWS))]
        header = ("step", "tokens", "running", "waiting", "blocks", "what happened")
        text = html.table(repr(self), header, rows)
        if len(self) > NUM_ROWS:
            text += html.paragraph(
                f"and {counted(len(self) - NUM_ROWS, 'more step')}; show() has all"
            )
        return text

    def _row(self, index: int) -> tuple[object, ...]:
        record = self[index]
        return (
            record.step_id,
            record.num_tokens,
            len(record.running),
            len(record.waiting),
            block_counts(self.fold_to(index)),
            ", ".join(breakpoints_at(record)),
        )


@dataclass(slots=True)
class _Order:
    """Where in a journal its steps are, and which of them do not follow. It grows with it.

    Attributes:
        records: The steps.
        positions: Where each is.
        steps: position -> which step is there.
        failures: For each `Resumed`: the last step before it, and the last one whose plan it left.
        gaps: Steps whose number does not follow, though no failure took the numbers between.
        num_read: Entries that were taken in.
        next_id: What the next step's number has to be, if no failure takes it.
        has_failed: Whether one may have.
    """

    records: list[StepRecord] = field(default_factory=list[StepRecord])
    positions: list[int] = field(default_factory=list[int])
    steps: dict[int, int] = field(default_factory=dict[int, int])
    failures: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    gaps: set[int] = field(default_factory=set[int])
    num_read: int = 0
    next_id: int | None = None
    has_failed: bool = False

    def extend(self, journal: tuple[Entry, ...]) -> None:
        """Takes in what is new."""
        for position in range(self.num_read, len(journal)):
            entry = journal[position]
            if isinstance(entry, Stepped):
                self._take(entry.record, position)
            elif isinstance(entry, Resumed):
                self.failures.append((len(self.records) - 1, entry.frame.num_planned - 1))
                self.has_failed = True
        self.num_read = len(journal)

    def _take(self, record: StepRecord, position: int) -> None:
        step = len(self.records)
        if self.next_id not in (None, record.step_id):
            if not self.has_failed:
                self.gaps.add(step)
            self.has_failed = False
        self.next_id = record.step_id + 1
        self.records.append(record)
        self.positions.append(position)
        self.steps[position] = step

    def copy(self) -> "_Order":
        """One that grows by itself."""
        return replace(
            self,
            records=self.records.copy(),
            positions=self.positions.copy(),
            steps=self.steps.copy(),
            failures=self.failures.copy(),
            gaps=self.gaps.copy(),
        )


def block_counts(fold: Fold) -> str:
    """How many blocks are used, cached and free."""
    used, cached = sum(map(bool, fold.ref_counts)), len(fold.evictable)
    return f"{used} used, {cached} cached, {len(fold.ref_counts) - used - cached} free"


def _missing(step: int) -> RecordingError:
    return RecordingError(
        f"step {step} does not follow from the steps before it: the engine was stepped, or a "
        "request aborted, without the recorder; use recorder.step() and recorder.abort_request()."
    )
