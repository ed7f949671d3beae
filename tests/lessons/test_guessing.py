"""A proposer whose luck is set: what is counted of it is what was set."""

import pytest

from nanovllm_edu.lessons.guessing import SometimesRight, guess_along, tokens_a_step
from nanovllm_edu.lessons.lesson_14 import tokens_expected

TEXT = list(range(40, 80))


def test_it_is_right_as_often_as_it_shall_be():
    always, never = (SometimesRight([TEXT], luck, 4) for luck in (1.0, 0.0))
    assert always.propose(TEXT[:10], 4) == TEXT[10:14]
    assert not set(zip(never.propose(TEXT[:10], 4), TEXT[10:14], strict=True)) & {
        (token, token) for token in TEXT
    }
    assert always.propose(TEXT[:38], 4) == TEXT[38:]
    assert always.propose([1, 2, 3], 4) == []


@pytest.mark.parametrize("acceptance", [0.0, 0.5, 0.9, 1.0])
def test_the_engine_settles_what_the_sum_says(acceptance):
    counted = tokens_a_step(guess_along(acceptance, 3))
    assert counted == pytest.approx(tokens_expected(acceptance, 3), abs=0.3)
