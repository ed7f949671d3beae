"""Ranks that share a model: their times are kept, go through a file, and have their own tracks."""

from dataclasses import replace
from itertools import pairwise

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.introspect.codec import RANK_PHASES, encode
from nanovllm_edu.introspect.decoder import decode
from nanovllm_edu.introspect.perfetto import RANKS, to_trace
from nanovllm_edu.introspect.spans import step_spans
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.introspect.test_perfetto import check_trace


class Ranked:
    """A ticket whose step says how long each of two ranks took."""

    def __init__(self, ticket, seconds):
        self.ticket, self.seconds = ticket, seconds

    def wait(self):
        times = tuple(
            {"prepare": 1e-4, "forward": self.seconds * slower, "sample": 2e-4, "all-reduce": 1e-3}
            for slower in (1, 2)
        )
        return replace(self.ticket.wait(), rank_timings=times)


class RankedRunner(ChecksumRunner):
    def launch(self, plan):
        return Ranked(super().launch(plan), 3e-3)


@pytest.fixture(params=[0, 1])
def recording(request):
    recorder = Recorder(LLMEngine(RankedRunner()))
    for token in range(3):
        recorder.add_request([token, 5, 6], SamplingParams(max_tokens=8))
    for _ in recorder.run(request.param):
        pass
    return recorder.recording


def test_a_file_keeps_the_times_of_each_rank(recording, tmp_path):
    again = load(save(recording, tmp_path / "x.json"))
    for before, after in zip(recording, again, strict=True):
        assert len(after.rank_timings) == 2
        for ours, theirs in zip(before.rank_timings, after.rank_timings, strict=True):
            assert dict(theirs) == pytest.approx(dict(ours))


def test_a_damaged_rank_is_refused(recording):
    document = encode(recording)
    (entry, *_) = (e for e in document["journal"] if "step" in e)
    for wrong in ([[1.0]], [["1"] * 4], 3):
        entry["ranks"] = wrong
        with pytest.raises(RecordingError):
            decode(document)


def test_a_page_gets_them_too(recording):
    document = encode_view(recording)
    assert document["rank_phases"] == list(RANK_PHASES)
    steps = [entry for entry in document["journal"] if "step" in entry]
    assert steps[0]["ranks"] == [[100.0, 3000.0, 200.0, 1000.0], [100.0, 6000.0, 200.0, 1000.0]]


def test_a_rank_does_one_step_after_the_other(recording):
    spans = step_spans(recording)
    for this, following in pairwise(spans):
        for rank in range(2):
            assert following.ranks[rank][0][1] >= this.ranks[rank][-1][2] - 1e-9


def test_the_trace_has_a_track_for_each_rank(recording):
    trace = to_trace(recording)
    check_trace(trace)
    names = [
        e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M" and e["pid"] == RANKS
    ]
    assert names == ["ranks", "rank 0", "rank 1"]
    sums = [e for e in trace["traceEvents"] if e["name"] == "all-reduce"]
    assert len(sums) == 2 * len(recording)
    assert {e["dur"] for e in sums} == {1000.0}
