"""What one user saw counts from when they wanted to ask."""

from typing import Any

import pytest

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.load.answer import SLO, Answer

ANSWER = Answer(wanted=1.0, sent=1.5, pieces=(2.0, 2.25, 3.0), ended=3.5, num_tokens=5)


def test_times_count_from_when_it_was_wanted():
    assert ANSWER.late == 0.5
    assert ANSWER.first_token == 1.0
    assert ANSWER.end_to_end == 2.0
    assert ANSWER.gaps == [0.25, 0.75]


def test_time_per_token_counts_tokens_and_not_pieces():
    assert ANSWER.per_token == 0.25
    assert Answer(0, 0, (1.0,), 1, 1).per_token is None


@pytest.mark.parametrize(
    "slo, is_kept",
    [
        (SLO(1.0, 0.25, 2.0), True),
        (SLO(0.99, 0.25, 2.0), False),
        (SLO(1.0, 0.24, 2.0), False),
        (SLO(1.0, 0.25, 1.99), False),
        (SLO(None, None, None), True),
    ],
)
def test_a_promise_is_kept_if_each_part_is(slo: SLO, is_kept: bool):
    assert slo.is_kept(ANSWER) is is_kept


def test_who_got_no_whole_answer_was_not_served():
    nothing = SLO(None, None, None)
    assert not nothing.is_kept(Answer(0, 0, (), 1, 0, 503, "503 too_busy"))
    assert not nothing.is_kept(Answer(0, 0, (0.1, 0.2), 1, 2, 200, "cut off"))


@pytest.mark.parametrize("options", [{"first_token": 0}, {"per_token": -1}, {"share": 0},
                                     {"share": 1.1}, {"first_token": "1"}, {"end_to_end": True},
                                     {"share": "90%"}])  # fmt: skip
def test_a_promise_nobody_can_keep_is_refused(options: dict[str, Any]):
    with pytest.raises(WorkloadError):
        SLO(**options)


def test_a_promise_says_itself():
    assert str(SLO(1, 0.1, share=0.95)) == "TTFT ≤ 1 s, TPOT ≤ 0.1 s for 95%"
    assert str(SLO(None, None)) == "a whole answer for 90%"
