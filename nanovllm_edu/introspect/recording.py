"""`Recording`: what an engine did, frozen, and any moment of it on demand.

    recording[k]            the StepRecord of step k (a reference to the engine's own, no copy)
    recording.state_at(k)   the EngineState right after it, folded from the nearest key frame

It holds no engine and no tensor, and knows none of its readers: `storage`, `html_page`, `perfetto`
and `text` are functions of a recording. Read next: `introspect/journal.py`, what it is made of;
`introspect/fold.py`, which does the work; `introspect/recorder.py` makes recordings.
"""

from collections.abc import Iterator, Mapping
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
    """

    def __init__(
        self,
        initial: Fold,
        journal: tuple[Entry, ...],
        engine: Mapping[str, Any],
        pieces: Mapping[int, str] | None = None,
    ) -> None:
        self.initial = initial
        self.journal = journal
        self.engine = dict(engine)
        self.pieces = dict(pieces or {})
        self._steps = [i for i, entry in enumerate(journal) if isinstance(entry, Stepped)]
        self.records = tuple(e.record for e in journal if isinstance(e, Stepped))
        self._frames: dict[int, tuple[int, Fold]] = {}

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
        """A fold of its own right after step `index`; keeps key frames on the way."""
        base = max((i for i in self._frames if i <= index), default=None)
        position, fold = (0, self.initial) if base is None else self._frames[base]
        fold = fold.copy()
        for i in range(position, self._end(index)):
            self.advance(fold, i)
            step = self._steps_upto(i)
            if isinstance(self.journal[i], Stepped) and step % KEY_FRAME_INTERVAL == 0:
                self._frames.setdefault(step, (i + 1, fold.copy()))
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
            return self._steps[index] + 1
        return self._steps[0] if self._steps else len(self.journal)

    @cached_property
    def _step_at(self) -> dict[int, int]:
        return {position: step for step, position in enumerate(self._steps)}

    def _steps_upto(self, position: int) -> int:
        return self._step_at.get(position, -1)

    def advance(self, fold: Fold, position: int) -> None:
        """Applies the journal's entry at a position to a fold that stands right before it."""
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
                self._apply_step(fold, self._step_at[position], entry)

    def _apply_step(self, fold: Fold, step: int, entry: Stepped) -> None:
        """Plans that were made before this commit take effect first (`run` plans ahead)."""
        is_alone = fold.num_planned == step and not entry.record.num_in_flight
        if step in self._gaps:
            raise _missing(step)
        try:
            while fold.num_planned <= self.last_planned(step):
                fold.plan(self.records[fold.num_planned].plan)
            fold.commit(entry.record)
        except (KeyError, IndexError, ValueError) as error:
            raise _missing(step) from error
        fold.reorder(entry.eviction_order)
        if is_alone and tuple(fold.running) != entry.record.running:
            raise _missing(step)

    def last_planned(self, step: int) -> int:
        """The newest step that was planned when `step` was committed, and not rolled back."""
        survived = [kept for end, kept in self._failures if end >= step]
        return min([step + self.records[step].num_in_flight, len(self) - 1, *survived])

    @cached_property
    def _failures(self) -> list[tuple[int, int]]:
        """For each `Resumed`: the last step before it, and the last one whose plan it left."""
        failures, step = [], -1
        for entry in self.journal:
            step += isinstance(entry, Stepped)
            if isinstance(entry, Resumed):
                failures.append((step, entry.frame.num_planned - 1))
        return failures

    @cached_property
    def _gaps(self) -> set[int]:
        """Steps whose number does not follow, though no failure took the numbers between."""
        gaps: set[int] = set()
        step, expected, has_failed = -1, None, False
        for entry in self.journal:
            has_failed = has_failed or isinstance(entry, Resumed)
            if isinstance(entry, Stepped):
                step += 1
                if expected not in (None, entry.record.step_id):
                    if not has_failed:
                        gaps.add(step)
                    has_failed = False
                expected = entry.record.step_id + 1
        return gaps

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


def block_counts(fold: Fold) -> str:
    """How many blocks are used, cached and free."""
    used, cached = sum(map(bool, fold.ref_counts)), len(fold.evictable)
    return f"{used} used, {cached} cached, {len(fold.ref_counts) - used - cached} free"


def _missing(step: int) -> RecordingError:
    return RecordingError(
        f"step {step} does not follow from the steps before it: the engine was stepped, or a "
        "request aborted, without the recorder; use recorder.step() and recorder.abort_request()."
    )
