"""A recording as a trace for ui.perfetto.dev and chrome://tracing.

Two processes. "engine" has what the host does (the phases, in the order they happened), the steps
from plan to commit (in as many rows as overlap), and the counters. "sequences" has one track per
sequence: waiting, prefill, decode, verify, and a mark where it was preempted. Times are measured.

If several ranks share the model, there is a third process, "ranks", with a track for each. What it
spent in sums over all ranks is one piece at the beginning of its forward pass; really it is many,
spread over it.

Source of the format: "Trace Event Format" (the Chromium project's public description): complete
events (X), instants (i), counters (C) and metadata (M), times in microseconds.
Read next: `introspect/figures.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.journal import Added, Stepped
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.spans import StepSpans, step_spans
from nanovllm_edu.introspect.whole_file import write_whole

ENGINE, SEQUENCES, RANKS = 1, 2, 3  # process ids
HOST, STEPS = 1, 2  # threads of the engine; there is a row of steps for each that can be in flight

TraceEvent = dict[str, Any]


def to_perfetto(recording: Recording, path: str | Path) -> Path:
    """Writes the trace and returns its path."""
    return write_whole(path, json.dumps(to_trace(recording), separators=(",", ":")))


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
    yield _metadata("thread_name", ENGINE, HOST, "host")
    for row in range(_num_rows(recording)):
        yield _metadata("thread_name", ENGINE, STEPS + row, "steps in flight" if row else "steps")
    for seq_id in sorted(recording.requests):
        yield _metadata("thread_name", SEQUENCES, seq_id + 1, f"seq {seq_id}")

    num_ranks = max((len(record.rank_timings) for record in recording), default=0)
    if num_ranks:
        yield _metadata("process_name", RANKS, 0, "ranks")
    for rank in range(num_ranks):
        yield _metadata("thread_name", RANKS, rank + 1, f"rank {rank}")


def _num_rows(recording: Recording) -> int:
    return 1 + max((record.num_in_flight for record in recording), default=0)


def _timeline(recording: Recording) -> Iterator[TraceEvent]:
    waiting_since = dict.fromkeys(recording.initial.waiting, 0.0)
    all_spans, num_rows = step_spans(recording), _num_rows(recording)
    index, end = 0, 0.0  # `end`: of the step before
    for entry in recording.journal:
        if isinstance(entry, Added):
            waiting_since[entry.request.seq_id] = entry.seconds
        elif isinstance(entry, Stepped):
            record, spans = entry.record, all_spans[index]
            yield from _step(record, spans, STEPS + index % num_rows)
            # What a sequence does begins once the step before has ended, so that nothing overlaps.
            yield from _sequences(record, max(end, spans.begin), spans.end, waiting_since)
            yield from _counters(recording, index, spans.end)
            index, end = index + 1, spans.end


def _step(record: StepRecord, spans: StepSpans, row: int) -> Iterator[TraceEvent]:
    name = f"step {record.step_id}"
    yield _slice(name, ENGINE, row, spans.begin, spans.end, _about(record))
    for phase, begin, end in (*spans.launch, ("commit", *spans.commit)):
        yield _slice(phase, ENGINE, HOST, begin, end, {"step": record.step_id})
    for rank, phases in enumerate(spans.ranks):
        in_sums = record.rank_timings[rank].get("all-reduce", 0.0)
        for phase, begin, end in phases:
            yield _slice(phase, RANKS, rank + 1, begin, end, {"step": record.step_id})
            if phase == "forward" and in_sums:
                about = {"step": record.step_id, "seconds": in_sums}
                yield _slice("all-reduce", RANKS, rank + 1, begin, min(end, begin + in_sums), about)


def _about(record: StepRecord) -> dict[str, Any]:
    why = record.blocked.why if record.blocked else "nobody waits"
    return {"tokens": record.num_tokens, "sequences": len(record.spans), "blocked": why}


def _sequences(
    record: StepRecord, begin: float, end: float, waiting_since: dict[int, float]
) -> Iterator[TraceEvent]:
    new_blocks = {update.row: update.block_ids for update in record.plan.block_updates}
    for span in record.spans:
        since = waiting_since.pop(span.seq_id, None)
        if since is not None and since < begin:
            yield _slice("waiting", SEQUENCES, span.seq_id + 1, since, begin, {})
        about = {
            "positions": f"[{span.start}, {span.end})",
            "tokens": list(record.new_tokens.get(span.seq_id, ())),
            "new blocks": list(new_blocks.get(span.row, ())),
            **({"guesses": list(span.drafted)} if span.num_drafted else {}),
        }
        yield _slice(kind_of(span), SEQUENCES, span.seq_id + 1, begin, end, about)
    for seq_id in record.preempted:
        waiting_since[seq_id] = begin
        yield _instant("preempted", seq_id, begin)
    for seq_id, reason in record.finished.items():
        yield _instant(f"finished: {reason}", seq_id, end)


def _counters(recording: Recording, index: int, at: float) -> Iterator[TraceEvent]:
    fold, record = recording.fold_to(index), recording[index]
    used, cached = sum(map(bool, fold.ref_counts)), len(fold.evictable)
    free = len(fold.ref_counts) - used - cached
    yield _counter("blocks", at, {"used": used, "cached": cached, "free": free})
    tokens = {"prefill": 0, "decode": 0, "verify": 0}
    for span in record.spans:
        tokens[kind_of(span)] += span.num_tokens
    yield _counter("tokens per step", at, tokens)


def _slice(
    name: str, pid: int, tid: int, begin: float, end: float, args: dict[str, Any]
) -> TraceEvent:
    at = _micros(begin)
    return {
        "ph": "X", "name": name, "cat": "step", "pid": pid, "tid": tid,
        "ts": at, "dur": round(max(0.0, _micros(end) - at), 3), "args": args,
    }  # fmt: skip


def _instant(name: str, seq_id: int, at: float) -> TraceEvent:
    return {
        "ph": "i", "name": name, "cat": "step", "s": "t",
        "pid": SEQUENCES, "tid": seq_id + 1, "ts": _micros(at), "args": {},
    }  # fmt: skip


def _counter(name: str, at: float, values: dict[str, int]) -> TraceEvent:
    return {"ph": "C", "name": name, "pid": ENGINE, "tid": 0, "ts": _micros(at), "args": values}


def _metadata(kind: str, pid: int, tid: int, name: str) -> TraceEvent:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _micros(seconds: float) -> float:
    return round(max(0.0, seconds) * 1e6, 3)
