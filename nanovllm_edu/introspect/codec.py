"""Recording -> JSON document: only what cannot be derived, plus a key frame now and then.

A span is two numbers (which sequence, how many tokens): where it starts, its row, its blocks and
whether it is sampled follow from the state. So a decode step of 64 sequences is 64 tokens and
little else. `introspect/decoder.py` derives the rest again, and gets equal records.

The format is described field by field in docs/reference/recording_format.md. It is for files; what
a page shows has another shape (`introspect/view.py`). Read next: `introspect/decoder.py`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import xxhash

from nanovllm_edu.core.plan import Blocked, TokenLogprobs
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect.frame import (
    FIELDS,
    KINDS,
    encode_events,
    encode_frame,
    encode_params,
    encode_request,
)
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording

FORMAT = "nanovllm-edu recording"
SCHEMA_VERSION = 2
PHASES = ("plan", "prepare", "forward", "sample", "commit")
RANK_PHASES = ("prepare", "forward", "sample", "all-reduce")
"""Of each rank that shares the model; the last is a part of the others."""
FRAME_INTERVAL = 256
"""Steps between two key frames of a document."""


def encode(recording: Recording) -> dict[str, Any]:
    """A recording as JSON-ready values."""
    initial = recording.initial
    document: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "engine": recording.engine,
        "event_kinds": [[name, list(FIELDS[name])] for name in KINDS],
        "phases": list(PHASES),
        "pieces": {str(token_id): text for token_id, text in recording.pieces.items()},
        "initial": {
            **encode_frame(initial),
            "requests": [encode_request(initial.history.requests[i]) for i in initial.sequences],
        },
        "journal": list(_encode_journal(recording.journal, tuple(initial.evictable))),
        "frames": {
            str(k): encode_frame(recording.fold_to(k))
            for k in range(FRAME_INTERVAL - 1, len(recording), FRAME_INTERVAL)
        },
    }
    return document | {"digest": digest(document)}


def to_text(document: dict[str, Any]) -> str:
    """As compact JSON: the same text for the same document."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def digest(document: dict[str, Any]) -> str:
    """Of all of a document but its digest: 16 hex digits."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    return xxhash.xxh64_hexdigest(to_text(rest).encode("utf-8", "surrogatepass"))


def _encode_journal(
    entries: Iterable[Entry], eviction_order: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """Each entry as one object. `eviction_order`: in force before the first of them."""
    order = eviction_order
    for entry in entries:
        match entry:
            case Added():
                yield {"add": encode_request(entry.request), "at": micros(entry.seconds)}
            case Aborted():
                order_change = encode_order(order, entry.eviction_order)
                yield {"abort": encode_events(entry.events), **order_change}
            case Updated():
                yield {"update": entry.seq_id, "params": encode_params(entry.params)}
            case Resumed():
                yield {"resume": encode_frame(entry.frame), "why": entry.why}
            case Stepped():
                order_change = encode_order(order, entry.eviction_order)
                yield {**_step(entry.record), "at": micros(entry.seconds), **order_change}
        order = _order_after(entry, order)


def _order_after(entry: Entry, order: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(entry, Resumed):
        return tuple(entry.frame.evictable)
    after = getattr(entry, "eviction_order", None)
    return order if after is None else after


def _step(record: StepRecord) -> dict[str, Any]:
    plan, spans = record.plan, record.spans
    pairs = zip(spans.seq_ids, spans.nums_of_tokens, strict=True)
    values: dict[str, Any] = {
        "step": record.step_id,
        "spans": [number for pair in pairs for number in pair],
        "tokens": [_tokens(record.new_tokens.get(span.seq_id)) for span in spans.sampled],
    }
    optional = {
        "drafts": {str(span.seq_id): list(span.drafted) for span in spans if span.num_drafted},
        "plan": encode_events(plan.events),
        "commit": encode_events(record.effects),
        "left": list(plan.left),
        "resampled": [update.seq_id for update in plan.sampling_updates],
        "copies": [[*copy.source, *copy.target] for copy in plan.copies],
        "blocked": _blocked(record.blocked),
        "in_flight": record.num_in_flight,
        "logprobs": {
            str(seq_id): [_logprobs(value) for value in values]
            for seq_id, values in record.logprobs.items()
        },
        "ranks": encode_ranks(record),
    }
    values |= {name: value for name, value in optional.items() if value}
    values["times"] = encode_times(record.timings, PHASES)
    return values


def encode_times(timings: Mapping[str, float], phases: Iterable[str]) -> list[float | None]:
    """Microseconds of each phase; None for one that was not measured."""
    return [micros(timings[phase]) if phase in timings else None for phase in phases]


def encode_ranks(record: StepRecord) -> list[list[float | None]]:
    """The times of each rank that shares the model."""
    return [encode_times(timings, RANK_PHASES) for timings in record.rank_timings]


def _tokens(tokens: tuple[int, ...] | None) -> int | list[int] | None:
    """Most often it is one."""
    if tokens is None:
        return None
    return tokens[0] if len(tokens) == 1 else list(tokens)


def _blocked(blocked: Blocked | None) -> list[Any] | None:
    if blocked is None:
        return None
    return [
        blocked.seq_id, blocked.resource, blocked.needed, blocked.available, blocked.detail
    ]  # fmt: skip


def _logprobs(value: TokenLogprobs) -> list[Any]:
    return [value.token_id, value.logprob, [list(pair) for pair in value.top]]


def micros(seconds: float) -> float:
    """Microseconds, to a tenth."""
    return round(seconds * 1e6, 1)


def encode_order(before: tuple[int, ...], after: tuple[int, ...] | None) -> dict[str, Any]:
    """An eviction order as its changes; nothing for LRU (None)."""
    return {} if after is None else {"order": list_change(before, after)}


def list_change(before: Iterable[int], after: Iterable[int]) -> list[Any]:
    """What turns one list without repetitions into another.

    Returns:
        `[[removed, ...], [[inserted, index], ...]]`, the indices ascending, so each is final. An
        item that changed places is removed and inserted.
    """
    before, after = list(before), list(after)
    known = set(before)
    stayed = known.intersection(after)
    if [i for i in before if i in stayed] != [i for i in after if i in stayed]:
        stayed = set[int]()
    removed = [item for item in before if item not in stayed]
    inserted = [[item, index] for index, item in enumerate(after) if item not in stayed]
    return [removed, inserted]


def changed_list(before: Iterable[int], change: list[Any]) -> list[int]:
    """The list behind `list_change`."""
    removed, inserted = set(change[0]), change[1]
    items = [item for item in before if item not in removed]
    for item, index in inserted:
        items.insert(index, item)
    return items
