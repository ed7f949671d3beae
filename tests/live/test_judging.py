"""A learner's policy: the checks and messages of lesson 12, and its arena."""

from inspect import getsource

import pytest

from nanovllm_edu import MixedPolicy
from nanovllm_edu.lessons.arena import scores
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.live.judging import (
    MAX_SOURCE,
    STARTER,
    check,
    exercises,
    score,
    written_policy,
)
from tests.lessons.solutions.lesson_12 import ShortestFirst

RIGHT = getsource(ShortestFirst)


def test_a_right_answer_is_right_and_a_wrong_one_is_told_why():
    assert check("12.1", RIGHT, seed=1)["is_right"]
    starter = STARTER.format(name="ShortestFirst")
    verdict = check("12.1", starter, seed=1)
    assert not verdict["is_right"] and "you admit them in the order" in verdict["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("while True: pass", "Does this loop ever end?"),
        ("return None", "gave None"),
        ("return [[*running, *waiting]", "Python cannot read it: SyntaxError"),
        ("raise KeyError('lunch')", "Your code raised KeyError: 'lunch'. Your line 3"),
        ("return [running[:1]]", "leaves it out"),
    ],
)
def test_the_messages_are_those_of_the_lesson(body, message):
    source = f"class ShortestFirst:\n  def order(self, running, waiting):\n    {body}\n"
    source += "  def victim(self, candidates): return candidates[-1]\n"
    verdict = check("12.1", source)
    assert not verdict["is_right"] and message in verdict["message"]


def test_a_class_by_another_name_is_missed():
    assert "defines no `ShortestFirst`" in check("12.1", "class Mine: pass")["message"]


def test_the_arena_scores_it_beside_the_shipped_ones():
    board = score(STARTER.format(name="Mine"))
    mine = [row for row in board["rows"] if row[1] == "Mine"]
    shipped = [list(each.row) for each in scores(MixedPolicy()).scores]
    assert [[row[0], *row[2:]] for row in mine] == [[r[0], *r[2:]] for r in shipped]
    assert len(board["rows"]) == 9 and board["header"][0] == "workload"


def test_a_heart_beats_while_the_policy_is_asked():
    beats = []
    check("12.1", RIGHT, lambda: beats.append(1))
    assert len(beats) > 20


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no class here"),
        ("class Mine:\n  def order(self, a, b): return []", r"no method victim\(\)"),
        ("x" * (MAX_SOURCE + 1), "at most 20000 are read"),
        ("import sys\nclass Mine: pass\nsys.exit()", "ends the program"),
    ],
)
def test_what_is_no_policy_is_refused(source, message):
    with pytest.raises(Wrong, match=message):
        written_policy(source)


def test_every_exercise_has_a_starter_that_runs():
    for exercise in exercises():
        assert written_policy(exercise["starter"]).order((), ())
