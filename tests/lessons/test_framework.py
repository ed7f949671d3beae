"""Checks, hints, predictions and shown source, apart from any particular exercise."""

import contextlib
import sys

import pytest

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.lessons import Exercise, predict, recorded, show_c_source, show_source
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.registry import Ladders, UnknownExerciseError, find
from nanovllm_edu.lessons.sandbox import run_bounded
from nanovllm_edu.lessons.source import SourceView


def test_endless_loop_is_stopped_and_its_line_named():
    def endless(answer):
        total = 0
        while True:
            total += 1

    with pytest.raises(Wrong, match=r"stopped after 500 lines, at line \d+: .*Does this loop"):
        run_bounded(endless, None, max_lines=500)


def test_endless_loop_cannot_be_caught_by_the_learner():
    def stubborn(answer):
        while True:
            with contextlib.suppress(Exception):
                pass

    with pytest.raises(Wrong, match="stopped after 500 lines"):
        run_bounded(stubborn, None, max_lines=500)


def test_exception_names_the_learners_own_line():
    def divides(answer):
        return 1 / answer

    with pytest.raises(Wrong, match=r"ZeroDivisionError: division by zero. Your line \d+: return"):
        run_bounded(divides, 0)


def test_an_earlier_trace_function_is_restored():
    before = sys.gettrace()
    run_bounded(lambda answer: "fine", None)
    assert sys.gettrace() is before


def test_a_wrong_number_of_arguments_is_a_verdict():
    def takes_nothing(): ...

    result = Ladders().check("03.1", takes_nothing)
    assert not result
    assert "takes 0 positional arguments" in result.message


def test_result_is_deterministic_and_escaped():
    def answer(block_table, start, num_tokens, block_size):
        raise ValueError("<b>")

    result = Ladders().check("03.1", answer)
    assert repr(result) == repr(Ladders().check("03.1", answer))
    assert "<b>" in repr(result)
    assert "&lt;b&gt;" in result._repr_html_()


def test_hints_climb_and_stay_at_the_top():
    ladders = Ladders()
    hints = [ladders.hint("03.1") for _ in range(4)]
    assert [hint.rung for hint in hints] == [1, 2, 3, 3]
    assert "hint 1 of 3" in Ladders().check("03.1", lambda *a: None).next_step
    assert "solutions/lesson_03.py" in ladders.check("03.1", lambda *a: None).next_step


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(UnknownExerciseError, match=r"no exercise '03.9'; there are 03.1"):
        find("03.9")
    with pytest.raises(UnknownExerciseError, match="there are lessons"):
        find("77.1")


def test_an_exercise_has_three_hints():
    with pytest.raises(AssertionError):
        Exercise("03.1", "t", "f", ("one",), lambda answer: "")


def test_prediction_is_settled_by_the_live_answer():
    bet = predict("How many <blocks>?", 2, 3)
    assert repr(bet) == "Predict: How many <blocks>?\n  a) 2\n  b) 3"
    assert "&lt;blocks&gt;" in bet._repr_html_()
    assert repr(bet.reveal(3, because="9 > 8")) == "Answer: 3: 9 > 8"
    bet.pick(2)
    assert repr(bet.reveal(3)).startswith("You predicted 2")
    bet.pick(3)
    assert repr(bet.reveal(3)).startswith("✓ As you predicted")
    with pytest.raises(ValueError, match="none of 2, 3"):
        bet.reveal(4)


def test_clicking_a_prediction_picks_it():
    bet = predict("How many?", 2, 3)
    bundle = bet._repr_mimebundle_()
    assert bundle["text/plain"] == repr(bet)
    bet._radio_buttons().children[1].value = "3"
    assert bet.picked == "3"


def test_c_is_shown_with_the_comment_above_it() -> None:
    view = show_c_source("paged_attention.c", "weigh")
    assert view.place == "nanovllm_edu/native/paged_attention.c · weigh"
    assert view.code.startswith("/* Turns one head's scores")
    assert view.code.endswith("\n}")
    assert view._repr_markdown_().count("```c\n") == 1


def test_source_is_the_packages_own():
    view = show_source(block_hash)
    assert isinstance(view, SourceView)
    assert view.place == "nanovllm_edu/core/memory/block_hash.py · block_hash"
    assert view.code.startswith("def block_hash(")


def test_a_missing_recording_says_how_to_make_one():
    assert "run benchmarks/gpu.py" in repr(recorded("no such section"))
