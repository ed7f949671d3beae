"""A recording as a trace for ui.perfetto.dev and chrome://tracing.

Two processes. "engine" has the phases of each step and the counters; "sequences" has one track per
sequence: waiting, prefill, decode, and a mark where it was preempted. Times are those measured.

Source of the format: "Trace Event Format" (the Chromium project's public description): complete
events (X), instants (i), counters (C) and metadata (M), times in microseconds.
Read next: `introspect/figures.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect.codec import PHASES
from nanovllm_edu.introspect.recording import Added, Recording, Stepped

ENGINE, SEQUENCES = 1, 2  # process ids
SHORTEST = 1.0
"""Microseconds of a step that measured no phase at all, so that it can be seen."""

TraceEvent = dict[str, Any]


def write_perfetto(recording: Recording, path: str | Path) -> Path:
    """Writes the trace and returns its path."""
    path = Path(path)
    path.write_text(json.dumps(to_trace(recording), separators=(",", ":")), encoding="utf-8")
    return path


def to_trace(recording: Recording) -> dict[str, Any]:
    """The trace as JSON-ready values."""
    events = [*_names(recording), *_timeline(recording)]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {name: str(value) for name, value in recording.engine.items()},
    }


def _names(recording: Recording) -> Iterator[TraceEvent]:
    yield _metadata("process_name", ENGINE, 0, "engine")
    yield _metadata("process_name", SEQUENCES, 0, "sequences")
    yield _metadata("thread_name", ENGINE, 1, "phases")
    for seq_id in sorted(recording.requests):
        yield _metadata("thread_name", SEQUENCES, seq_id + 1, f"seq {seq_id}")


def _timeline(recording: Recording) -> Iterator[TraceEvent]:
    waiting_since = dict.fromkeys(recording.initial.waiting, 0.0)
    index, end = 0, 0.0
    for entry in recording.journal:
        if isinstance(entry, Added):
            waiting_since[entry.request.seq_id] = max(end, entry.seconds * 1e6)
        if not isinstance(entry, Stepped):
            continue
        begin, end = _span(entry, end)
        yield from _phases(entry.record, begin, end)
        yield from _sequences(entry.record, begin, end, waiting_since)
        yield from _counters(recording, index, begin)
        index += 1


def _span(entry: Stepped, earliest: float) -> tuple[float, float]:
    """When a step began and ended; steps that overlapped are drawn one after the other."""
    total = sum(entry.record.timings.values()) * 1e6 or SHORTEST
    begin = max(earliest, entry.seconds * 1e6 - total)
    return begin, begin + total


def _phases(record: StepRecord, begin: float, end: float) -> Iterator[TraceEvent]:
    name = f"step {record.step_id}"
    yield _slice(name, ENGINE, 1, begin, end - begin, _about(record))
    at = begin
    for phase in PHASES:
        if phase in record.timings:
            duration = record.timings[phase] * 1e6
            yield _slice(phase, ENGINE, 1, at, min(duration, end - at), {})
            at += duration


def _about(record: StepRecord) -> dict[str, Any]:
    why = record.blocked.why if record.blocked else "nobody waits"
    return {"tokens": record.num_tokens, "sequences": len(record.chunks), "blocked": why}


def _sequences(
    record: StepRecord, begin: float, end: float, waiting_since: dict[int, float]
) -> Iterator[TraceEvent]:
    for chunk in record.chunks:
        since = waiting_since.pop(chunk.seq_id, None)
        if since is not None and since < begin:
            yield _slice("waiting", SEQUENCES, chunk.seq_id + 1, since, begin - since, {})
        name = "decode" if chunk.is_decode else "prefill"
        about = {
            "positions": f"[{chunk.start}, {chunk.end})",
            "token": record.new_tokens.get(chunk.seq_id),
            "new blocks": list(chunk.new_block_ids),
        }
        yield _slice(name, SEQUENCES, chunk.seq_id + 1, begin, end - begin, about)
    for seq_id in record.preempted:
        waiting_since[seq_id] = begin
        yield _instant("preempted", seq_id, begin)
    for seq_id, reason in record.finished.items():
        yield _instant(f"finished: {reason}", seq_id, end)


def _counters(recording: Recording, index: int, at: float) -> Iterator[TraceEvent]:
    fold, record = recording.fold_to(index), recording[index]
    used, cached = sum(map(bool, fold.ref_counts)), len(fold.evictable)
    free = len(fold.ref_counts) - used - cached
    decode = sum(chunk.num_tokens for chunk in record.chunks if chunk.is_decode)
    yield _counter("blocks", at, {"used": used, "cached": cached, "free": free})
    tokens = {"prefill": record.num_tokens - decode, "decode": decode}
    yield _counter("tokens per step", at, tokens)


def _slice(
    name: str, pid: int, tid: int, at: float, duration: float, args: dict[str, Any]
) -> TraceEvent:
    return {
        "ph": "X", "name": name, "cat": "step", "pid": pid, "tid": tid,
        "ts": round(at, 3), "dur": round(max(0.0, duration), 3), "args": args,
    }  # fmt: skip


def _instant(name: str, seq_id: int, at: float) -> TraceEvent:
    return {
        "ph": "i", "name": name, "cat": "step", "s": "t",
        "pid": SEQUENCES, "tid": seq_id + 1, "ts": round(at, 3), "args": {},
    }  # fmt: skip


def _counter(name: str, at: float, values: dict[str, int]) -> TraceEvent:
    return {"ph": "C", "name": name, "pid": ENGINE, "tid": 0, "ts": round(at, 3), "args": values}


def _metadata(kind: str, pid: int, tid: int, name: str) -> TraceEvent:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}
