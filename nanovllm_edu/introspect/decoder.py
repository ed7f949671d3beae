"""JSON document -> Recording: folds the deltas and rebuilds every record, equal to the original.

What the document leaves out is derived from the state at that moment: a span starts where its
sequence stands, its blocks are those that the events gave it. A file may come from anywhere, so
nothing in it is taken on trust: its shape is checked first; on the way, that each published block
has the hash of its tokens, and that key frames agree with the steps; at the end, its digest.

Read next: `introspect/storage.py`.
"""

from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from nanovllm_edu.core.events import Admitted, BlocksCached, Event, Finished
from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.plan import (
    BlockCopy,
    Blocked,
    BlockRef,
    BlockUpdate,
    Joined,
    SamplingUpdate,
    Spans,
    StepPlan,
    TokenLogprobs,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.codec import (
    FORMAT,
    RANK_PHASES,
    SCHEMA_VERSION,
    changed_list,
    digest,
)
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.frame import (
    FIELDS,
    FRAME,
    KINDS,
    REQUEST,
    decode_events,
    decode_frame,
    decode_request,
    encode_frame,
)
from nanovllm_edu.introspect.history import History
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.shape import Count, Either, Number, Numbers, check

MOST_BLOCKS = 10_000_000
"""A pool of more blocks than this is taken for a damaged number."""

ORDER_CHANGE = (Numbers, [(Count, Count)])
STEP = {
    "step": Count,
    "spans": Numbers,
    "tokens": [Either(Count, None, Numbers)],
    "drafts?": {str: Numbers},
    "plan?": [[Any]],
    "commit?": [[Any]],
    "left?": Numbers,
    "resampled?": Numbers,
    "copies?": [(Count, Count, Count, Count)],
    "blocked?": (Count, str, Count, Count, str),
    "in_flight?": Count,
    "logprobs?": {str: [(Count, Number, [(Count, Number)])]},
    "times": [Either(Number, None)],
    "ranks?": [[Either(Number, None)]],
    "at": Number,
    "order?": ORDER_CHANGE,
}
ENTRIES: dict[str, dict[str, Any]] = {
    "add": {"add": REQUEST, "at": Number},
    "abort": {"abort": [[Any]], "order?": ORDER_CHANGE},
    "update": {"update": Count, "params": {str: Any}},
    "resume": {"resume": FRAME, "why": str},
    "step": STEP,
}
"""What tells an entry of the journal -> what it looks like."""
DOCUMENT = {
    "engine": {
        "num_blocks": Count,
        "block_size": Count,
        "policy": str,
        "eviction_policy": str,
        "max_num_batched_tokens": Count,
    },
    "phases": [str],
    "pieces": {str: str},
    "initial": {**FRAME, "requests": [REQUEST]},
    "journal": [{}],
    "frames": {str: FRAME},
    "digest": str,
}


class _Planned(NamedTuple):
    """The part of a record that is known once its step is planned."""

    plan: StepPlan
    waiting: tuple[int, ...]
    block_tables: dict[int, tuple[int, ...]]


def decode(document: Any) -> Recording:
    """The recording behind `encode`.

    Raises:
        RecordingError: It is no recording, of another schema, incomplete, or contradicts itself.
    """
    _check_header(document)
    try:
        _check_shape(document)
        recording = _Decoder(document).decode()
    except RecordingError:
        raise
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise RecordingError(
            f"the recording is damaged ({type(error).__name__}: {error}); save it again."
        ) from error
    if document["digest"] != digest(document):
        raise RecordingError(
            "its content is not what was saved (the digest differs); save it again."
        )
    return recording


def _check_header(document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RecordingError(
            f"this is not a recording: its 'format' is not {FORMAT!r}; give a file that "
            "save() wrote."
        )
    if document.get("schema_version") != SCHEMA_VERSION:
        raise RecordingError(
            f"schema_version={document.get('schema_version')!r}, and this version of nanovllm_edu "
            f"reads {SCHEMA_VERSION}; use the version that wrote it, or record again."
        )
    if document.get("event_kinds") != [[name, list(FIELDS[name])] for name in KINDS]:
        raise RecordingError(
            "its event kinds are not those of this version of nanovllm_edu; record again."
        )


def _check_shape(document: dict[str, Any]) -> None:
    check(document, DOCUMENT, "the recording")
    engine = document["engine"]
    for name, most in (("num_blocks", MOST_BLOCKS), ("block_size", MOST_BLOCKS)):
        if not 1 <= engine[name] <= most:
            raise RecordingError(
                f"the recording is damaged: {name}={engine[name]} is not in [1, {most}]; save it "
                "again."
            )
    for i, values in enumerate(document["journal"]):
        kind = next((name for name in ENTRIES if name in values), None)
        if kind is None:
            raise RecordingError(f"the recording is damaged: journal[{i}] is no known entry.")
        check(values, ENTRIES[kind], f"journal[{i}]")


class _Decoder:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._engine = document["engine"]
        self._steps = [entry for entry in document["journal"] if "step" in entry]
        self._failures = _failures(document["journal"])
        self._planned: list[_Planned] = []
        history = History()
        for values in document["initial"]["requests"]:
            history.add(decode_request(values))
        self._initial = decode_frame(document["initial"], self._engine, history)
        assert self._initial.num_planned == 0, "a recording begins with steps in flight"
        self._fold = self._initial.copy()
        self._hashes: dict[int, list[int]] = {}  # of each sequence's blocks
        self._params: dict[int, SamplingParams] = {}  # of requests that were updated
        self._num_steps = 0

    def decode(self) -> Recording:
        journal = tuple(self._entry(values) for values in self._document["journal"])
        pieces = {int(token_id): text for token_id, text in self._document["pieces"].items()}
        return Recording(self._initial, journal, self._engine, pieces)

    def _entry(self, values: dict[str, Any]) -> Entry:
        before = tuple(self._fold.evictable)
        if "add" in values:
            request = decode_request(values["add"])
            self._fold.add(request)
            return Added(request, values["at"] / 1e6)
        if "abort" in values:
            events = self._apply(values["abort"])
            return Aborted(events, self._reorder(values, before))
        if "update" in values:
            params = SamplingParams(**values["params"])
            self._params[values["update"]] = params
            return Updated(values["update"], params)
        if "resume" in values:
            return self._resume(values)
        record = self._record(values)
        entry = Stepped(record, self._reorder(values, before), values["at"] / 1e6)
        self._check_frame(self._num_steps)
        self._num_steps += 1
        return entry

    def _resume(self, values: dict[str, Any]) -> Resumed:
        """Plans that it left were made before it, even if no commit has mentioned them yet."""
        self._plan_to(min(values["resume"]["planned"], self._last_planned(self._num_steps - 1) + 1))
        frame = decode_frame(values["resume"], self._engine, self._fold.history)
        self._fold.become(frame)
        # Steps that were planned and then lost with the failure are not in the document.
        del self._planned[frame.num_planned :]
        return Resumed(frame, values["why"])

    def _reorder(self, values: dict[str, Any], before: tuple[int, ...]) -> tuple[int, ...] | None:
        if "order" not in values:
            return None
        order = tuple(changed_list(before, values["order"]))
        self._fold.reorder(order)
        return order

    def _check_frame(self, step: int) -> None:
        expected = self._document["frames"].get(str(step))
        if expected is not None and expected != encode_frame(self._fold):
            raise RecordingError(
                f"the key frame after step {step} contradicts the steps before it: the recording "
                "is damaged; save it again."
            )

    def _apply(self, rows: list[list[Any]]) -> tuple[Event, ...]:
        events = decode_events(rows)
        for event in events:
            if isinstance(event, BlocksCached):
                self._check_hashes(event)
        self._fold.apply(events)
        return events

    def _check_hashes(self, event: BlocksCached) -> None:
        """A block's hash is that of its tokens and of all in front of it."""
        size, known = self._engine["block_size"], self._fold.history.token_ids[event.seq_id]
        chain = self._hashes.setdefault(event.seq_id, [])
        for index, key in zip(event.indices, event.hashes, strict=False):  # a tree has no hashes
            if (index + 1) * size > self._fold.sequences[event.seq_id].num_known:
                raise RecordingError(f"block {index} of seq {event.seq_id} is cached too early.")
            while len(chain) <= index:
                start = len(chain) * size
                parent = chain[-1] if chain else None
                chain.append(block_hash(parent, known[start : start + size]))
            if chain[index] != key:
                raise RecordingError(
                    f"block {index} of seq {event.seq_id} has the hash {chain[index]:016x} by its "
                    f"tokens, and the recording says {key:016x}: a token or a hash was changed; "
                    "save it again."
                )

    # -------------------------------------------------------------------------- one step

    def _record(self, values: dict[str, Any]) -> StepRecord:
        index, num_in_flight = self._num_steps, values.get("in_flight", 0)
        self._plan_to(min(index + num_in_flight, self._last_planned(index)) + 1)
        plan, waiting, block_tables = self._planned[index]
        sampled = plan.spans.sampled
        new_tokens = {
            span.seq_id: _token_ids(tokens)
            for span, tokens in zip(sampled, values["tokens"], strict=True)
            if tokens is not None
        }
        record = StepRecord(
            plan=plan,
            new_tokens=new_tokens,
            finished={},
            effects=(),
            waiting=(),
            block_tables=block_tables,
            logprobs={
                int(i): tuple(_logprobs(*value) for value in each)
                for i, each in values.get("logprobs", {}).items()
            },
            num_in_flight=num_in_flight,
            timings=_timings(self._document["phases"], values["times"]),
            rank_timings=tuple(_timings(RANK_PHASES, each) for each in values.get("ranks", ())),
        )
        return self._with_effects(record, waiting, values.get("commit", []))

    def _with_effects(
        self, record: StepRecord, waiting: tuple[int, ...], rows: list[list[Any]]
    ) -> StepRecord:
        self._fold.commit(record)  # its tokens; the events follow
        effects = self._apply(rows)
        finished = {e.seq_id: e.reason for e in effects if isinstance(e, Finished)}
        return replace(
            record,
            effects=effects,
            finished=finished,
            waiting=tuple(i for i in waiting if i not in finished),
        )

    def _plan_to(self, num_planned: int) -> None:
        while len(self._planned) < num_planned:
            self._planned.append(self._plan(self._steps[len(self._planned)]))

    def _last_planned(self, index: int) -> int:
        """Not beyond what a later failure left: the rest was rolled back."""
        survived = [kept for end, kept in self._failures if end >= index]
        return min([len(self._steps) - 1, *survived])

    def _plan(self, values: dict[str, Any]) -> _Planned:
        fold, numbers = self._fold, values["spans"]
        num_blocks = {i: len(seq.block_table) for i, seq in fold.sequences.items()}
        events = self._apply(values.get("plan", []))
        joined = tuple(self._joined(event) for event in events if isinstance(event, Admitted))
        num_blocks |= {one.seq_id: 0 for one in joined}
        spans: list[tuple[Any, ...]] = []
        updates: list[BlockUpdate] = []
        for seq_id, num_tokens in zip(numbers[::2], numbers[1::2], strict=True):
            row, table = _row(fold, seq_id), fold.sequences[seq_id].block_table
            first = num_blocks[seq_id]
            if len(table) > first:
                updates.append(BlockUpdate(0, row, first, tuple(table[first:])))
            drafted = values.get("drafts", {}).get(str(seq_id), ())
            spans.append(self._span(seq_id, row, num_tokens, tuple(drafted)))
        fold.num_planned += 1
        plan = StepPlan(
            values["step"],
            Spans(spans),
            joined,
            tuple(values.get("left", ())),
            tuple(self._resampled(i) for i in values.get("resampled", ())),
            tuple(updates),
            tuple(BlockCopy(BlockRef(a, b), BlockRef(c, d)) for a, b, c, d in _copies(values)),
            events,
            Blocked(*values["blocked"]) if "blocked" in values else None,
        )
        tables = {i: tuple(fold.sequences[i].block_table) for i in fold.running}
        return _Planned(plan, tuple(fold.waiting), tables)

    def _span(
        self, seq_id: int, row: int, num_tokens: int, drafted: tuple[int, ...]
    ) -> tuple[Any, ...]:
        fold, seq, num_drafted = self._fold, self._fold.sequences[seq_id], len(drafted)
        start = seq.num_computed_tokens
        is_sampled = start + num_tokens == seq.num_tokens + num_drafted
        newest = fold.history.token_ids[seq_id][seq.num_known - 1]
        given = (newest, *drafted) if drafted else ()
        fold.advance(seq_id, num_tokens, num_drafted + 1 if is_sampled else 0)
        return seq_id, row, start, num_tokens, given, num_drafted, is_sampled

    def _joined(self, event: Admitted) -> Joined:
        seq, history = self._fold.sequences[event.seq_id], self._fold.history
        token_ids = array(TOKEN_TYPE, history.token_ids[seq.seq_id][: seq.num_known])
        seed = history.requests[seq.seq_id].seed
        params = self._params_of(seq.seq_id)
        return Joined(seq.seq_id, event.row, token_ids, seq.num_prompt_tokens, params, seed)

    def _resampled(self, seq_id: int) -> SamplingUpdate:
        return SamplingUpdate(seq_id, _row(self._fold, seq_id), self._params_of(seq_id))

    def _params_of(self, seq_id: int) -> SamplingParams:
        return self._params.get(seq_id) or self._fold.history.requests[seq_id].params


def _row(fold: Fold, seq_id: int) -> int:
    row = fold.sequences[seq_id].row
    assert row is not None, f"seq {seq_id} has no row"
    return row


def _token_ids(tokens: int | list[int]) -> tuple[int, ...]:
    token_ids = array(TOKEN_TYPE, [tokens] if isinstance(tokens, int) else tokens)
    assert token_ids, "a sequence got tokens, and there are none"
    return tuple(token_ids)


def _copies(values: dict[str, Any]) -> list[list[int]]:
    return values.get("copies", [])


def _failures(journal: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """For each failure: the last step before it, and the last one whose plan it left."""
    failures, step = [], -1
    for values in journal:
        step += "step" in values
        if "resume" in values:
            failures.append((step, values["resume"]["planned"] - 1))
    return failures


def _logprobs(token_id: int, logprob: float, top: list[list[Any]]) -> TokenLogprobs:
    return TokenLogprobs(token_id, logprob, tuple((i, value) for i, value in top))


def _timings(phases: Iterable[str], times: list[float | None]) -> dict[str, float]:
    """Seconds of those that were measured."""
    pairs = zip(phases, times, strict=True)
    return {phase: value / 1e6 for phase, value in pairs if value is not None}
