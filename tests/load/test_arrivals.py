"""When users come: the right number, at the right distances, and no nonsense from a file."""

from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.load.arrivals import Job, bursts, poisson, read_trace, steady

GOOD = '{"at": 0}\n\n{"at": 0.5, "max_tokens": 3, "prompt": "Hello"}\n{"at": 0.5}\n'


def test_steady_arrivals_are_evenly_spaced():
    assert steady(4, 5) == [0, 0.25, 0.5, 0.75, 1.0]


def test_poisson_has_the_rate_and_as_much_spread_as_mean():
    times = poisson(5.0, 20_000, seed=1)
    gaps = [b - a for a, b in pairwise(times)]
    assert times == sorted(times)
    assert times == poisson(5.0, 20_000, seed=1) != poisson(5.0, 20_000, seed=2)
    assert fmean(gaps) == pytest.approx(0.2, rel=0.03)
    assert pstdev(gaps) == pytest.approx(0.2, rel=0.03)


def test_bursts_keep_the_rate_and_come_together():
    times = bursts(10.0, 10_001, 5)
    assert len(times) == 10_001
    assert times[0] == times[4] < times[5] == times[9]
    assert len(times) / times[-1] == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "8", True])
def test_a_rate_that_is_none_is_refused(rate: float):
    for make in (steady, poisson):
        with pytest.raises(WorkloadError, match="rate="):
            make(rate, 3)


@pytest.mark.parametrize("count", [0, -1, 10**9, 2.5, "9"])
def test_too_few_and_too_many_are_refused(count: int):
    with pytest.raises(WorkloadError, match="between 1 and"):
        poisson(1.0, count)
    with pytest.raises(WorkloadError, match="burst=0"):
        bursts(1.0, 3, 0)


def test_a_trace_is_read_with_defaults_for_what_it_does_not_say(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    path.write_text(GOOD)
    default = Job(0.0, prompt_words=7, max_tokens=9)
    assert read_trace(path, default) == [
        Job(0.0, 7, 9),
        Job(0.5, 7, 3, "Hello"),
        Job(0.5, 7, 9),
    ]


BAD = {
    "": "is empty",
    '{"at": -0.1}': "line 1 of .*at=-0.1 is no time",
    '{"at": 1}\n{"at": 0.5}': "line 2 of .*at=0.5 comes before the line above it, at=1.0; sort",
    '{"at": NaN}': "at=nan is no time",
    '{"at": Infinity}': "at=inf is no time",
    '{"at": "1"}': "at='1' is of the wrong type",
    '{"at": true}': "at=True is of the wrong type",
    '{"at": 0, "max_tokens": 0}': "at least 1",
    '{"at": 0, "prompt_words": 1.5}': "prompt_words=1.5",
    '{"at": 0, "when": 3}': "unknown field 'when'",
    '{"max_tokens": 1}': "write an object",
    "[1]": "write an object",
    "[" * 100_000: "no JSON",
    "{": "line 1 of .* is no JSON",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_a_bad_trace_names_the_line_and_the_remedy(text: str, tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=BAD[text]):
        read_trace(path, Job(0.0))


def test_a_trace_that_is_not_there_or_not_text(tmp_path: Path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkloadError, match="the trace 5 cannot be read"):
        read_trace(5, Job(0.0))  # type: ignore[arg-type]
    for name in ("nothing", "bytes"):
        with pytest.raises(WorkloadError, match="cannot be read"):
            read_trace(tmp_path / name, Job(0.0))
