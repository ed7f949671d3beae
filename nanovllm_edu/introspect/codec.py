"""Recording -> JSON document: only what cannot be derived, plus a key frame now and then.

A chunk is two numbers (which sequence, how many tokens): where it starts, its slot, its tokens, its
blocks and whether it samples follow from the state. So a decode step of 64 sequences is 64 tokens
and little else. `introspect/decoder.py` derives the rest again, and gets equal records.

The format is described field by field in docs/reference/recording_format.md. Read next:
`introspect/decoder.py`, and `viewer/js/replay.js`, which reads the same document in a browser.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from nanovllm_edu.core.events import TokenSampled
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect.fold import split_events
from nanovllm_edu.introspect.frame import (
    FIELDS,
    KINDS,
    encode_events,
    encode_frame,
    encode_params,
    encode_request,
    hash_to_text,
)
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording

FORMAT = "nanovllm-edu recording"
SCHEMA_VERSION = 1
PHASES = ("plan", "prepare", "forward", "sample", "commit")
FRAME_INTERVAL = 256
"""Steps between two key frames of a document."""


def encode(recording: Recording) -> dict[str, Any]:
    """A recording as JSON-ready values."""
    initial = recording.initial
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "engine": recording.engine,
        "event_kinds": [[name, list(FIELDS[name])] for name in KINDS],
        "phases": list(PHASES),
        "pieces": {str(token_id): text for token_id, text in recording.pieces.items()},
        "initial": encode_initial(recording),
        "journal": list(encode_journal(recording.journal, tuple(initial.evictable))),
        "frames": {
            str(k): encode_frame(recording.fold_to(k))
            for k in range(FRAME_INTERVAL - 1, len(recording), FRAME_INTERVAL)
        },
    }


def encode_initial(recording: Recording) -> dict[str, Any]:
    """The first key frame, with the requests and block contents that precede the recording."""
    fold = recording.initial
    history, hashes = fold.history, {key for key in fold.hashes if key is not None}
    return {
        **encode_frame(fold),
        "requests": [encode_request(history.requests[i]) for i in fold.sequences],
        "contents": {hash_to_text(key): list(history.contents[key]) for key in sorted(hashes)},
    }


def encode_journal(
    entries: Iterable[Entry], eviction_order: tuple[int, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Journal entries, each as one object.

    Args:
        entries: In order.
        eviction_order: In force before the first of them.
    """
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
    plan_events, commit_events = split_events(record)
    values: dict[str, Any] = {
        "step": record.step_id,
        "chunks": [number for c in record.chunks for number in (c.seq_id, c.num_tokens)],
        "tokens": [record.new_tokens.get(c.seq_id) for c in record.chunks if c.samples],
    }
    rest = [event for event in commit_events if not isinstance(event, TokenSampled)]
    optional = {
        "plan": encode_events(plan_events),
        "commit": encode_events(rest),
        "blocked": _blocked(record),
        "in_flight": record.num_in_flight,
        "logprobs": {str(i): _logprobs(value) for i, value in record.logprobs.items()},
    }
    values |= {name: value for name, value in optional.items() if value}
    values["times"] = [micros(record.timings[p]) if p in record.timings else None for p in PHASES]
    return values


def _blocked(record: StepRecord) -> list[Any] | None:
    blocked = record.blocked
    if blocked is None:
        return None
    return [
        blocked.seq_id, blocked.resource, blocked.needed, blocked.available, blocked.detail
    ]  # fmt: skip


def _logprobs(value: Any) -> list[Any]:
    return [value.token_id, value.logprob, [list(pair) for pair in value.top]]


def micros(seconds: float) -> float:
    """Microseconds, to a tenth."""
    return round(seconds * 1e6, 1)


def encode_order(before: tuple[int, ...], after: tuple[int, ...] | None) -> dict[str, Any]:
    """An eviction order as its changes: `[[removed, ...], [[inserted, index], ...]]`.

    Nothing for LRU (None). If the blocks that stayed changed places, the whole order is written
    instead.
    """
    if after is None:
        return {}
    known, still = set(before), set(after)
    stayed = [block_id for block_id in before if block_id in still]
    if stayed != [block_id for block_id in after if block_id in known]:
        return {"order": list(after)}
    removed = [block_id for block_id in before if block_id not in still]
    inserted = [[block_id, i] for i, block_id in enumerate(after) if block_id not in known]
    return {"order_change": [removed, inserted]}


def decode_order(values: dict[str, Any], before: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order behind `encode_order`."""
    if "order" in values:
        return tuple(values["order"])
    if "order_change" not in values:
        return None
    removed, inserted = values["order_change"]
    order = [block_id for block_id in before if block_id not in set(removed)]
    for block_id, index in inserted:  # ascending, so each index is final
        order.insert(index, block_id)
    return tuple(order)
