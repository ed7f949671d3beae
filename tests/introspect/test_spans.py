"""The times of overlapped steps fit together: the host does one thing at a time."""

from itertools import pairwise

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.introspect.spans import step_spans
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.introspect.workload import play


def recorded(depth):
    recorder = Recorder(LLMEngine(ChecksumRunner()))
    for token in range(3):
        recorder.add_request([token, 5, 6], SamplingParams(max_tokens=12))
    for _ in recorder.run(depth):
        pass
    return recorder.recording


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_phases_keep_their_lengths_and_their_order(depth):
    recording = recorded(depth)
    for entry, spans in zip(recording.records, step_spans(recording), strict=True):
        lengths = {phase: end - begin for phase, begin, end in spans.launch}
        lengths["commit"] = spans.commit[1] - spans.commit[0]
        assert lengths == pytest.approx(dict(entry.timings), abs=1e-9)
        assert spans.begin <= spans.flight[0] <= spans.flight[1]
        assert spans.flight[1] == pytest.approx(max(spans.flight[0], spans.commit[0]))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_host_does_one_thing_at_a_time(depth):
    busy = []
    for spans in step_spans(recorded(depth)):
        busy += [(begin, end) for _, begin, end in spans.launch] + [spans.commit]
    busy.sort()
    for (_, end), (begin, _) in pairwise(busy):
        assert begin >= end - 1e-6


def test_the_next_step_is_planned_while_this_one_is_in_flight():
    spans = step_spans(recorded(1))
    for this, following in pairwise(spans[:-1]):
        assert this.flight[0] <= following.begin < this.commit[0]
    apart = step_spans(recorded(0))
    assert all(a.end <= b.begin + 1e-6 for a, b in pairwise(apart))


@pytest.mark.parametrize("options", [{"fail_at": (9, 17)}, {"fail_at": (5, 21), "depth": 2}])
def test_failed_steps_leave_the_others_in_order(options):
    spans = step_spans(play(4, **options).recorder.recording)
    ends = [span.end for span in spans]
    assert ends == sorted(ends)
