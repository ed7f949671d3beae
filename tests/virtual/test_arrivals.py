from itertools import islice
from pathlib import Path

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import TraceError
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.virtual.arrivals import Arrival, arrivals_of, in_order, poisson, read_trace
from nanovllm_edu.virtual.runner import virtual_engine

from .made import calibration


def test_the_same_seed_gives_the_same_requests():
    first, again, other = (list(poisson(10, 50, (1, 9), (1, 9), seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert 2.5 < first[-1].at < 10  # 50 of them, 10 a second


def test_requests_are_drawn_as_they_are_asked_for():
    assert len(list(islice(poisson(1, 10**12, (1, 2), (1, 2)), 3))) == 3


def test_all_prompts_begin_with_the_prefix():
    assert all(a.prompt[:2] == [7, 8] for a in poisson(1, 9, (1, 4), (1, 4), prefix=[7, 8]))


def test_a_recorded_run_gives_its_requests_with_their_lengths():
    engine = virtual_engine(calibration(), 16)
    recorder = Recorder(engine)
    for i, at in enumerate((0.0, 2.0)):
        engine.clock.skip_to(at)
        recorder.add_request([i, i], SamplingParams(max_tokens=3 + i, ignore_eos=True))
        list(recorder.run(0))
    assert arrivals_of(recorder.recording) == [Arrival(0, [0, 0], 3), Arrival(2, [1, 1], 4)]


def test_a_trace_is_read_line_by_line(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    path.write_text('{"at": 0.5, "prompt": [1, 2], "max_tokens": 3, "tenant": "a"}\n')
    assert list(read_trace(path)) == [Arrival(0.5, [1, 2], 3, "a")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"at": -0.5, "prompt": [1], "max_tokens": 3}', "comes at -0.5 s"),
        ('{"at": NaN, "prompt": [1], "max_tokens": 3}', "comes at nan s"),
        ('{"at": 0.5, "prompt": [1]}', "line 1 of the trace"),
        ('{"at": 0, "prompt": [1], "max_tokens": 1e400}', "line 1 of the trace"),
        ("[1]", "line 1 of the trace"),
        ("{", "line 1 of the trace"),
        ('{"at": 0, "prompt": 3, "max_tokens": 3}', "line 1 of the trace"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path: Path, line: str, said: str):
    path = tmp_path / "trace.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(TraceError, match=said):
        list(read_trace(path))


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(TraceError, match="cannot be read"):
        list(read_trace(tmp_path / "none"))


def test_time_goes_forward():
    with pytest.raises(TraceError, match="request 2 comes at 1 s, and the one before it at 2 s"):
        list(in_order([Arrival(2, [1], 1), Arrival(1, [1], 1)]))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5", None, True])
def test_a_rate_that_is_none_is_refused_at_once(rate):
    with pytest.raises(TraceError, match=f"rate={rate!r}"):
        poisson(rate, 3, (1, 2), (1, 2))


@pytest.mark.parametrize(
    ("count", "prompts", "outputs", "said"),
    [
        (-1, (1, 2), (1, 2), "count=-1"),
        (2, (5, 2), (1, 2), r"prompt_tokens=\(5, 2\)"),
        (2, (0, 2), (1, 2), "prompt_tokens"),
        (2, (1, 2), 7, "output_tokens=7"),
        (2, (1, 2), (1, 2.5), "output_tokens"),
    ],
)
def test_lengths_that_are_none_are_refused_at_once(count, prompts, outputs, said: str):
    with pytest.raises(TraceError, match=said):
        poisson(10, count, prompts, outputs)
