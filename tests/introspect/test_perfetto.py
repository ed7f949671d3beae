"""The trace keeps to the trace-event format, and says what the recording says."""

import json
from collections import defaultdict
from itertools import pairwise

import pytest

from nanovllm_edu.core.step_record import kind_of
from nanovllm_edu.introspect import to_perfetto
from nanovllm_edu.introspect.perfetto import to_trace
from tests.introspect.workload import play

NEEDED = {
    "X": {"name", "ts", "dur", "pid", "tid"},
    "i": {"name", "ts", "s", "pid", "tid"},
    "C": {"name", "ts", "pid", "args"},
    "M": {"name", "pid", "args"},
}


def check_trace(trace):
    """The parts of the trace-event format that viewers insist on."""
    assert isinstance(trace["traceEvents"], list)
    assert trace["displayTimeUnit"] in ("ms", "ns")
    tracks = defaultdict(list)
    for event in trace["traceEvents"]:
        assert NEEDED[event["ph"]] <= event.keys(), event
        assert isinstance(event["pid"], int)
        assert isinstance(event.get("args", {}), dict)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, int) for value in event["args"].values())
        if event["ph"] == "X":
            assert event["dur"] >= 0
            tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in tracks.values():
        check_nested(spans)


def check_nested(spans):
    """Slices of a track lie beside or inside one another, never across."""
    stack = []
    for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        while stack and stack[-1] <= begin + 0.01:
            stack.pop()
        assert not stack or end <= stack[-1] + 0.01, (begin, end, stack)
        stack.append(end)


@pytest.mark.parametrize("seed", range(12))
def test_the_trace_is_valid(seed, tmp_path):
    recording = play(seed, depth=seed % 3).recorder.recording
    check_trace(json.loads(to_perfetto(recording, tmp_path / "x.json").read_text()))


def test_a_slice_across_another_is_noticed():
    with pytest.raises(AssertionError):
        check_nested([(0.0, 2.0), (1.0, 3.0)])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_every_step_is_there_with_its_phases(depth):
    recording = play(5, depth=depth).recorder.recording
    trace = to_trace(recording)["traceEvents"]
    host = [e for e in trace if e["ph"] == "X" and (e["pid"], e["tid"]) == (1, 1)]
    for phase in ("plan", "commit"):
        assert [e["args"]["step"] for e in host if e["name"] == phase] == [
            record.step_id for record in recording
        ]
    steps = [e for e in trace if e["ph"] == "X" and e["pid"] == 1 and e["tid"] >= 2]
    assert [e["name"] for e in steps] == [f"step {record.step_id}" for record in recording]
    overlaps = sum(a["ts"] + a["dur"] > b["ts"] + 0.01 for a, b in pairwise(steps))
    assert (overlaps > 0) == (depth > 0)


def test_the_trace_says_what_the_recording_says(tmp_path):
    recording = play(3).recorder.recording
    trace = json.loads(to_perfetto(recording, tmp_path / "x.json").read_text())["traceEvents"]
    names = [event["name"] for event in trace if event["ph"] == "X" and event["pid"] == 2]
    kinds = [kind_of(span) for record in recording for span in record.spans]
    for kind in ("decode", "prefill", "verify"):
        assert names.count(kind) == kinds.count(kind)
    assert len(kinds) > 100
    blocks = [event["args"] for event in trace if event["name"] == "blocks"]
    for index, counts in enumerate(blocks):
        state = recording.state_at(index)
        assert counts == {kind: state.num_blocks(kind) for kind in ("used", "cached", "free")}
    preempted = [event for event in trace if event["name"] == "preempted"]
    assert len(preempted) == sum(len(record.preempted) for record in recording)
