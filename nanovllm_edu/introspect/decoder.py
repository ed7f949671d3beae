"""JSON document -> Recording: folds the deltas and rebuilds every record, equal to the original.

What the document leaves out is derived from the state at that moment: a chunk starts where its
sequence stands, its blocks are those that the events gave it. Key frames are compared with the fold
on the way, so that a damaged document is noticed.

Read next: `introspect/storage.py`.
"""

from dataclasses import dataclass
from typing import Any

from nanovllm_edu.core.events import Event, Finished, Preempted, TokenSampled
from nanovllm_edu.core.plan import Blocked, Chunk, TokenLogprobs
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.codec import FORMAT, SCHEMA_VERSION, decode_order
from nanovllm_edu.introspect.frame import (
    FIELDS,
    KINDS,
    decode_events,
    decode_frame,
    decode_request,
    encode_frame,
    hash_from_text,
)
from nanovllm_edu.introspect.history import History
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording


@dataclass(slots=True)
class _Planned:
    """The part of a record that is known once its step is planned."""

    chunks: tuple[Chunk, ...]
    events: list[Event]
    waiting: tuple[int, ...]
    running: tuple[int, ...]
    block_tables: dict[int, tuple[int, ...]]


def decode(document: Any) -> Recording:
    """The recording behind `encode`.

    Raises:
        RecordingError: It is no recording, of another schema, incomplete, or contradicts itself.
    """
    _check_header(document)
    try:
        return _Decoder(document).decode()
    except (AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(
            f"the recording is damaged ({type(error).__name__}: {error}); save it again."
        ) from error


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


class _Decoder:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._engine = document["engine"]
        self._steps = [entry for entry in document["journal"] if "step" in entry]
        self._failures = _failures(document["journal"])
        self._planned: list[_Planned] = []
        initial = document["initial"]
        history = History()
        for values in initial["requests"]:
            history.add(decode_request(values))
        for key, token_ids in initial["contents"].items():
            history.contents[_hash(key)] = tuple(token_ids)
        self._initial = decode_frame(initial, self._engine, history)
        self._fold = self._initial.copy()
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
            events = tuple(decode_events(values["abort"]))
            self._fold.apply(events)
            return Aborted(events, self._reorder(values, before))
        if "update" in values:
            params = SamplingParams(**values["params"])
            self._params[values["update"]] = params
            return Updated(values["update"], params)
        if "resume" in values:
            # Plans that it left were made before it, even if no commit has mentioned them yet.
            self._plan_to(
                min(values["resume"]["planned"], self._last_planned(self._num_steps - 1) + 1)
            )
            self._fold = decode_frame(values["resume"], self._engine, self._fold.history)
            # Steps that were planned and then lost with the failure are not in the document.
            del self._planned[self._fold.num_planned :]
            return Resumed(self._fold.copy(), values["why"])
        record = self._record(values)
        entry = Stepped(record, self._reorder(values, before), values["at"] / 1e6)
        self._check_frame(self._num_steps)
        self._num_steps += 1
        return entry

    def _reorder(self, values: dict[str, Any], before: tuple[int, ...]) -> tuple[int, ...] | None:
        order = decode_order(values, before)
        self._fold.reorder(order)
        return order

    def _check_frame(self, step: int) -> None:
        expected = self._document["frames"].get(str(step))
        if expected is not None and expected != encode_frame(self._fold):
            raise RecordingError(
                f"the key frame after step {step} contradicts the steps before it: the recording "
                "is damaged; save it again."
            )

    # -------------------------------------------------------------------------- one step

    def _record(self, values: dict[str, Any]) -> StepRecord:
        index = self._num_steps
        self._plan_to(min(index + values.get("in_flight", 0), self._last_planned(index)) + 1)
        planned = self._planned[index]
        events, new_tokens = self._commit(planned, values)
        finished = {e.seq_id: e.reason for e in events if isinstance(e, Finished)}
        return StepRecord(
            step_id=values["step"],
            chunks=planned.chunks,
            new_tokens=new_tokens,
            finished=finished,
            events=(*planned.events, *events),
            waiting=tuple(i for i in planned.waiting if i not in finished),
            running=tuple(i for i in planned.running if i not in finished),
            block_tables=planned.block_tables,
            blocked=Blocked(*values["blocked"]) if "blocked" in values else None,
            preempted=tuple(e.seq_id for e in planned.events if isinstance(e, Preempted)),
            logprobs={int(i): _logprobs(*v) for i, v in values.get("logprobs", {}).items()},
            num_in_flight=values.get("in_flight", 0),
            timings={
                phase: value / 1e6
                for phase, value in zip(self._document["phases"], values["times"], strict=True)
                if value is not None
            },
        )

    def _plan_to(self, num_planned: int) -> None:
        while len(self._planned) < num_planned:
            self._planned.append(self._plan(self._steps[len(self._planned)]))

    def _last_planned(self, index: int) -> int:
        """Not beyond what a later failure left: the rest was rolled back."""
        survived = [kept for end, kept in self._failures if end >= index]
        return min([len(self._steps) - 1, *survived])

    def _plan(self, values: dict[str, Any]) -> _Planned:
        fold, numbers = self._fold, values["chunks"]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        first_blocks = {i: len(fold.sequences[i].block_table) for i, _ in pairs}
        events = decode_events(values.get("plan", []))
        fold.apply(events)
        chunks = tuple(self._chunk(i, num_tokens, first_blocks[i]) for i, num_tokens in pairs)
        fold.num_planned += 1
        tables = {i: tuple(fold.sequences[i].block_table) for i in fold.running}
        return _Planned(chunks, events, tuple(fold.waiting), tuple(fold.running), tables)

    def _chunk(self, seq_id: int, num_tokens: int, first_block: int) -> Chunk:
        seq, request = self._fold.sequences[seq_id], self._fold.history.requests[seq_id]
        known, start = self._fold.history.token_ids[seq_id], seq.num_computed_tokens
        token_ids = () if seq.is_decoding else tuple(known[start : start + num_tokens])
        params = self._params.get(seq_id, request.params)
        is_new_here = first_block == 0 and start > 0 and params.needs_history
        return Chunk(
            seq_id,
            _not_none(seq.slot),
            start,
            num_tokens,
            token_ids,
            first_block,
            tuple(seq.block_table[first_block:]),
            self._fold.advance(seq_id, num_tokens),
            params,
            request.seed,
            request.num_prompt_tokens,
            tuple(known[:start]) if is_new_here else (),
        )

    def _commit(
        self, planned: _Planned, values: dict[str, Any]
    ) -> tuple[list[Event], dict[int, int]]:
        """Puts each sampled token back in front of the events that it caused."""
        rest = decode_events(values.get("commit", []))
        sampling = [chunk.seq_id for chunk in planned.chunks if chunk.samples]
        events: list[Event] = []
        new_tokens: dict[int, int] = {}
        for seq_id, token_id in zip(sampling, values["tokens"], strict=True):
            if token_id is None:
                continue
            new_tokens[seq_id] = token_id
            num_known = self._fold.sequences[seq_id].num_known
            caused: list[Event] = [TokenSampled(seq_id, token_id, num_known)]
            while rest and rest[0].seq_id == seq_id:
                caused.append(rest.pop(0))
            self._fold.apply(caused)
            events += caused
        if rest:
            raise RecordingError(f"step {values['step']} has events without a cause; save again.")
        return events, new_tokens


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


def _hash(text: str) -> int:
    return _not_none(hash_from_text(text))


def _not_none(value: int | None) -> int:
    assert value is not None
    return value
