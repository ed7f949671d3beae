"""What a page shows of a recording: each step's work and words, and what it changed.

The fold has said what every event means, so a page needs no second opinion: it gets the difference
between the state before and after each entry of the journal, and puts numbers where they belong.
Reasons travel as sentences. So `viewer/js/` knows no event, no claim and no planning ahead.

A page that follows a running server gets hundreds of steps a second, so what is as it was costs
little here: whoever goes on by a token is not named (`introspect/going_on.py`).

It knows nothing of pages. The shape is described in docs/reference/recording_format.md. Read next:
`introspect/step_entry.py`; `introspect/going_on.py`; `viewer/js/state.js`, which applies the
differences.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from nanovllm_edu.core.events import PrefixHit
from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.codec import PHASES, RANK_PHASES, list_change, micros
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.frame import encode_params, encode_request, hash_to_text
from nanovllm_edu.introspect.going_on import NOBODY, GoingOn, going_on
from nanovllm_edu.introspect.history import Content, FoldedSequence
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.labels import LABELS
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.step_entry import MARKS, WORK, encode_step, endings, given

FORMAT = "nanovllm-edu view"
SCHEMA_VERSION = 3


class _Shown(NamedTuple):
    """What a page knows of a sequence."""

    origin: tuple[int, int]  # [0, hit) came from the cache, [hit, prefill_end) by prefill
    row: int | None
    table: tuple[int, ...]


_UNKNOWN = _Shown((0, 0), None, ())


class View:
    """A recording as a page wants it. It grows as the recording does.

    Attributes:
        entries: One for each entry of the journal, as JSON-ready values.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._fold = recording.initial.copy()
        self._shown: dict[int, _Shown] = {}
        self._origins = {i: (0, seq.num_computed_tokens) for i, seq in self._fold.sequences.items()}
        self._matches: dict[int, tuple[int, str]] = {}
        self._waiting: list[int] = []
        self._running: list[int] = []
        self._order: dict[int, None] = {}
        self._num_noted = self._fold.num_planned
        self._batch = Spans()  # of the step before
        self._stays: tuple[Spans, Spans, GoingOn] = Spans(), Spans(), NOBODY
        self.entries: list[dict[str, Any]] = []
        requests = self._fold.history.requests
        self._initial: dict[str, Any] = {
            "requests": [encode_request(requests[i]) for i in self._fold.sequences]
        }
        self._fold.become(self._fold)
        self._initial["state"] = self._change(NOBODY, is_lru=False)
        self.extend(recording)

    def extend(self, recording: Recording) -> None:
        """Takes in a longer version of the same recording."""
        self._recording = recording
        for position in range(len(self.entries), len(recording.journal)):
            recording.advance(self._fold, position)
            entry = recording.journal[position]
            stays = self._who_goes_on(entry)
            moved = self._who_moved(entry, stays, self._new_plans())
            follows = getattr(entry, "eviction_order", None) is None
            change = self._change(moved, is_lru=follows and not isinstance(entry, Resumed))
            values = self._encode(entry, stays)
            if change:
                values["state"] = change
            self.entries.append(values)

    def document(self) -> dict[str, Any]:
        """All of it."""
        recording = self._recording
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "engine": recording.engine,
            "event_kinds": [[kind.__name__, label] for kind, label in LABELS.items()],
            "work": list(WORK),
            "marks": list(MARKS),
            "phases": list(PHASES),
            "rank_phases": list(RANK_PHASES),
            "pieces": {str(token_id): text for token_id, text in recording.pieces.items()},
            "initial": self._initial,
            "journal": list(self.entries),
        }

    # ------------------------------------------------------------------- what changed

    def _who_goes_on(self, entry: Entry) -> GoingOn:
        """Of the step before; each of them got one token."""
        if not isinstance(entry, Stepped):
            return NOBODY
        record, before = entry.record, self._batch
        self._batch = record.spans
        stays = self._going_on(before, record.spans)
        got = [len(record.new_tokens.get(seq_id, ())) for seq_id in stays.seq_ids]
        return stays if got.count(1) == len(got) else NOBODY

    def _going_on(self, before: Spans, now: Spans) -> GoingOn:
        """With steps planned ahead the same two are asked for twice, one step after the other."""
        if self._stays[0] is not before or self._stays[1] is not now:
            self._stays = before, now, going_on(before, now)
        return self._stays[2]

    def _who_moved(self, entry: Entry, stays: GoingOn, plans: Sequence[StepPlan]) -> GoingOn:
        """Whose counts are those of before and one token more; those that are to be told anew.

        Who goes on in the step that came to an end, and in the one that was planned since.
        """
        if not isinstance(entry, Stepped):
            return NOBODY
        done = entry.record.spans
        if len(plans) != 1 or not stays.seq_ids:
            ids = chain(done.seq_ids, *(plan.spans.seq_ids for plan in plans))
            return GoingOn([*ids], ())
        planned = plans[0].spans
        ahead = stays if planned is done else self._going_on(done, planned)
        if ahead.seq_ids == stays.seq_ids == done.seq_ids == planned.seq_ids:
            return GoingOn((), stays.seq_ids)
        both = set(stays.seq_ids).intersection(ahead.seq_ids)
        ids = {*done.seq_ids, *planned.seq_ids} - both
        return GoingOn([*ids], stays.seq_ids)

    def _new_plans(self) -> list[StepPlan]:
        """Those that took effect with the newest entry and are recorded."""
        records, end = self._recording.records, self._fold.num_planned
        plans = [record.plan for record in records[self._num_noted : end]]
        for plan in plans:
            self._note(plan)
        self._num_noted = min(self._num_noted + len(plans), end)
        return plans

    def _note(self, plan: StepPlan) -> None:
        """How tokens come into the cache: a plan says it, as soon as it is recorded."""
        for event in plan.events:
            if isinstance(event, PrefixHit):
                self._origins[event.seq_id] = event.num_tokens, event.num_tokens
                self._matches[event.seq_id] = event.stopped_at, event.stopped_because
        if all(plan.spans.are_sampled) and max(plan.spans.nums_of_tokens, default=1) == 1:
            return  # nobody computes a prompt
        for span in plan.spans:
            if kind_of(span) == "prefill":
                self._origins[span.seq_id] = self._origins.get(span.seq_id, (0, 0))[0], span.end

    def _change(self, moved: GoingOn, is_lru: bool) -> dict[str, Any]:
        """What is new since the last time; nothing of what is as it was."""
        fold = self._fold
        told = fold.touched_seqs.union(moved.left)
        values = given(
            gone=[[i, *_counts(seq)] for i, seq in fold.ended.items() if i in self._shown],
            on=bool(moved.seq_ids),
            waiting=self._change_of_list(self._waiting, fold.waiting),
            running=self._change_of_list(self._running, fold.running),
            blocks=[
                [block, fold.ref_counts[block], _content(fold.contents[block])]
                for block in sorted(fold.touched_blocks)
            ],
            order=self._change_of_order(fold, is_lru),
        )
        if told:
            values |= self._change_of_sequences(fold, told)
        for seq_id in fold.ended:
            self._shown.pop(seq_id, None)
        fold.ended, fold.touched_seqs, fold.touched_blocks = {}, set(), set()
        return values

    def _change_of_sequences(self, fold: Fold, seq_ids: set[int]) -> dict[str, Any]:
        counts: list[int] = []
        origins: dict[str, Any] = {}
        rows: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        matches: dict[str, Any] = {}
        for seq in map(fold.sequences.get, sorted(seq_ids)):
            if seq is None:
                continue
            seq_id = seq.seq_id
            before = self._shown.get(seq_id, _UNKNOWN)
            origin = self._origins.get(seq_id, (0, 0)) if seq.num_computed_tokens else (0, 0)
            table = before.table
            counts += seq_id, *_counts(seq)
            if origin != before.origin:
                origins[str(seq_id)] = list(origin)
            if seq.row != before.row:
                rows[str(seq_id)] = seq.row
                if seq.row is not None and seq_id in self._matches:
                    matches[str(seq_id)] = list(self._matches[seq_id])
            if (now := tuple(seq.block_table)) != table:
                first = _first_difference(table, now)
                tables[str(seq_id)] = [first, list(now[first:])]
            self._shown[seq_id] = _Shown(origin, seq.row, now)
        return given(seqs=counts, origins=origins, rows=rows, tables=tables, matches=matches)

    def _change_of_list(self, before: list[int], after: Iterable[int]) -> list[Any] | None:
        now = list(after)
        if now == before:
            return None
        change = list_change(before, now)
        before[:] = now
        return change

    def _change_of_order(self, fold: Fold, is_lru: bool) -> list[Any] | None:
        if not is_lru:
            change = self._change_of_list(now := list(self._order), fold.evictable)
            self._order = dict.fromkeys(now)
            return change
        if not fold.touched_blocks:
            return None
        # What least recently used means: a block that is free again goes to the end.
        removed = [block for block in sorted(fold.touched_blocks) if block in self._order]
        added: list[int] = []
        for block in reversed(fold.evictable):
            if block not in fold.touched_blocks:
                break
            added.insert(0, block)
        for block in removed:
            del self._order[block]
        first = len(self._order)
        self._order |= dict.fromkeys(added)
        inserted = [[block, first + i] for i, block in enumerate(added)]
        return [removed, inserted] if removed or added else None

    # --------------------------------------------------------------- what is told of it

    def _encode(self, entry: Entry, stays: GoingOn) -> dict[str, Any]:
        match entry:
            case Added():
                return {"add": encode_request(entry.request), "at": micros(entry.seconds)}
            case Aborted():
                return {"abort": endings(entry.events)}
            case Updated():
                return {"update": entry.seq_id, "params": encode_params(entry.params)}
            case Resumed():
                return {"resume": entry.why, "planned": entry.frame.num_planned}
            case Stepped():
                at = {"at": micros(entry.seconds), "planned": self._fold.num_planned}
                return {**encode_step(entry.record, stays), **at, **self._tables(entry.record)}

    def _tables(self, record: StepRecord) -> dict[str, Any]:
        """Block tables that the step used and that are other ones after it."""
        shown = self._shown
        others = {
            seq_id
            for seq_id, table in record.block_tables.items()
            if shown.get(seq_id, _UNKNOWN).table[: len(table)] != table
        }
        if not others:  # nearly always
            return {}
        gone: dict[str, list[int]] = {}
        for span in record.spans:
            if span.seq_id in others:
                used = record.block_tables[span.seq_id][: -(-span.end // self._fold.block_size)]
                if shown.get(span.seq_id, _UNKNOWN).table[: len(used)] != used:
                    gone[str(span.seq_id)] = list(used)
        return {"tables": gone} if gone else {}


def encode_view(recording: Recording) -> dict[str, Any]:
    """A recording as a page wants it."""
    return View(recording).document()


def _counts(seq: FoldedSequence) -> tuple[int, int, int]:
    return seq.num_known, seq.num_computed_tokens, seq.num_claimed


def _content(content: Content | None) -> list[Any] | None:
    """`[hash, seq_id, index]`, or `[hash, null, tokens]` if nobody is known whose they were."""
    if content is None:
        return None
    place = list(content.token_ids) if content.seq_id is None else content.index
    return [hash_to_text(content.hash), content.seq_id, place]


def _first_difference(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    if after[: len(before)] == before:  # nearly always: it grows
        return len(before)
    pairs = enumerate(zip(before, after, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(before), len(after)))
