"""Every exercise: starters fail, right answers of all kinds pass, wrong ones are told why."""

import runpy
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random

import nbformat
import pytest

from nanovllm_edu.lessons import check
from nanovllm_edu.lessons.registry import exercises_of, lessons
from tests.lessons.right_answers import RIGHT_ANSWERS
from tests.lessons.wrong_answers import WRONG_ANSWERS

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = Path(__file__).parent / "solutions"
EXERCISES = [exercise for lesson in lessons() for exercise in exercises_of(lesson)]

for kind in ("wrong_answers", "right_answers"):
    for path in sorted((Path(__file__).parent / kind).glob("[a-z]*.py")):
        import_module(f"tests.lessons.{kind}.{path.stem}")

each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.exercise_id)


def notebook_of(exercise):
    lesson = exercise.exercise_id.partition(".")[0]
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    return nbformat.read(path, as_version=4)


def starter_cell(exercise):
    tag = f"exercise:{exercise.exercise_id}"
    (cell,) = [c for c in notebook_of(exercise).cells if tag in c.metadata.get("tags", ())]
    return cell


@cache
def verdict(wrong):
    """What a wrong answer is told; each is run once."""
    return check(wrong.exercise_id, wrong.answer)


@each_exercise
def test_starter_fails_without_a_traceback(exercise, tmp_path):
    path = tmp_path / "starter.py"
    path.write_text(starter_cell(exercise).source, encoding="utf-8")
    starter = runpy.run_path(str(path))[exercise.name]
    result = check(exercise.exercise_id, starter)
    assert not result
    assert "hint(" in repr(result)


@each_exercise
def test_notebook_checks_what_the_learner_wrote(exercise):
    sources = [cell.source for cell in notebook_of(exercise).cells if cell.cell_type == "code"]
    assert any(f'check("{exercise.exercise_id}", {exercise.name})' in source for source in sources)


def solution_of(exercise):
    lesson = exercise.exercise_id.partition(".")[0]
    return runpy.run_path(str(SOLUTIONS / f"lesson_{lesson}.py"))[exercise.name]


@cache
def solved(exercise):
    """The seed of this run, and what is said about the solution on it."""
    seed = Random().randrange(10**6)
    return seed, check(exercise.exercise_id, solution_of(exercise), seed=seed)


@each_exercise
def test_solution_passes(exercise):
    seed, result = solved(exercise)
    assert result, f"seed {seed}: {result!r}"
    assert repr(result).startswith("✓")


@each_exercise
def test_three_wrong_answers_are_told_three_things(exercise):
    results = [verdict(w) for w in WRONG_ANSWERS if w.exercise_id == exercise.exercise_id]
    assert len({result.message for result in results}) >= 3


@pytest.mark.parametrize(
    "wrong", WRONG_ANSWERS, ids=lambda w: f"{w.exercise_id}-{w.answer.__name__}"
)
def test_wrong_answer_is_told_what_is_wrong(wrong):
    result = verdict(wrong)
    assert not result
    assert wrong.expected in result.message


@pytest.mark.parametrize(
    "right", RIGHT_ANSWERS, ids=lambda r: f"{r.exercise_id}-{r.answer.__name__}"
)
def test_right_answer_of_another_kind_passes(right):
    result = check(right.exercise_id, right.answer)
    assert result, repr(result)


@each_exercise
def test_equal_seeds_give_equal_verdicts(exercise):
    """A class can be graded on the same inputs."""
    seed, result = solved(exercise)
    again = check(exercise.exercise_id, solution_of(exercise), seed=seed)
    assert repr(again) == repr(result), f"seed {seed}"
