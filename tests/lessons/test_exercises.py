"""Every exercise: its starter fails, its solution passes, wrong answers are told what is wrong."""

import runpy
from functools import cache
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from nanovllm_edu.lessons import check
from nanovllm_edu.lessons.registry import exercises_of, lessons
from tests.lessons.wrong_answers import WRONG_ANSWERS

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
EXERCISES = [exercise for lesson in lessons() for exercise in exercises_of(lesson)]

for path in sorted((Path(__file__).parent / "wrong_answers").glob("lesson_*.py")):
    import_module(f"tests.lessons.wrong_answers.{path.stem}")

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


@each_exercise
def test_solution_passes(exercise):
    lesson = exercise.exercise_id.partition(".")[0]
    solutions = runpy.run_path(str(NOTEBOOKS / "solutions" / f"lesson_{lesson}.py"))
    result = check(exercise.exercise_id, solutions[exercise.name])
    assert result, repr(result)
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
