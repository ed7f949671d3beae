"""Figures of a run, against answers whose figures can be counted by hand."""

import json

import pytest

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.report import Latency, report


def answer(wanted: float, first: float, last: float, num_tokens: int = 3, **more: object) -> Answer:
    middle = (first + last) / 2
    return Answer(wanted, wanted, (first, middle, last), last, num_tokens, **more)  # type: ignore[arg-type]


def test_a_quantile_is_a_value_that_occurred():
    ranked = [float(value) for value in range(1, 101)]
    assert Latency.of(ranked) == Latency(mean=50.5, p50=50, p90=90, p99=99, max=100)
    assert Latency.of([]) == Latency()
    assert Latency.of([2.0, 1.0]) == Latency(mean=1.5, p50=1.0, p90=2.0, p99=2.0, max=2.0)


def test_goodput_counts_what_was_promised_and_throughput_what_came():
    answers = [
        answer(0.0, 0.5, 1.0),
        answer(1.0, 3.0, 4.0),  # too late
        Answer(1.0, 1.0, (), 1.2, 0, 503, "503 overloaded"),
        Answer(1.0, 1.0, (1.1,), 2.0, 1, 200, "cut off"),
    ]
    found = report(answers, SLO(first_token=1.0, per_token=None), rate=2.0)
    assert (found.num_requests, found.num_whole, found.num_kept) == (4, 2, 1)
    assert found.errors == {"503 overloaded": 1, "cut off": 1}
    assert found.seconds == 4.0
    assert found.requests_per_second == 0.5
    assert found.tokens_per_second == 1.5
    assert found.goodput == 0.25
    assert found.share_kept == 0.25
    assert found.first_token.max == 2.0
    assert found.most_open == 3
    assert json.loads(json.dumps(found.to_dict()))["goodput"] == 0.25


def test_a_run_in_which_everything_fails_has_figures_too():
    found = report([Answer(0.0, 0.0, (), 2.0, 0, 0, "timeout")], SLO())
    assert (found.goodput, found.first_token, found.errors) == (0.0, Latency(), {"timeout": 1})


def test_the_generators_own_lateness_is_told():
    late = Answer(1.0, 1.25, (2.0,), 2.0, 1)
    assert report([late], SLO()).late.max == pytest.approx(0.25)


def test_no_answers_come_to_nothing():
    with pytest.raises(WorkloadError, match="ask for one at least"):
        report([], SLO())
