"""`check`, `hint` and `progress`: find the exercise by its id, run it, offer the next rung.

"03.1" lives in `lesson_03.py`, which is imported when it is first asked for. What was solved, and
how far up each ladder the learner has climbed, is remembered in `progress.json`, if the folder of
the notebook has one (`progress.py`); otherwise until the kernel ends.

Read next: `exercise.py`.
"""

import dis
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from random import Random
from typing import Any

from nanovllm_edu.lessons.exercise import (
    NUM_HINTS,
    CheckResult,
    Exercise,
    Hint,
    NothingReturned,
    Wrong,
)
from nanovllm_edu.lessons.progress import Progress, ProgressTable, Row
from nanovllm_edu.lessons.sandbox import run_bounded
from nanovllm_edu.lessons.shown import clipped, shown

NOTHING_YET = "Nothing is written yet: replace the `...` by your code and run the cell again."
_OF_A_STARTER = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
"""All that a function does whose body is a docstring and `...` or `pass`."""


class UnknownExerciseError(KeyError):
    """There is no exercise with this id."""

    def __str__(self) -> str:
        return str(self.args[0])


def find(exercise_id: str) -> Exercise:
    """The exercise with this id.

    Raises:
        UnknownExerciseError: There is none; the message lists those of the lesson.
    """
    lesson = str(exercise_id).partition(".")[0]
    exercises = exercises_of(lesson)
    for exercise in exercises:
        if exercise.exercise_id == exercise_id:
            return exercise
    known = [e.exercise_id for e in exercises] or [f"lessons {', '.join(lessons())}"]
    raise UnknownExerciseError(f"no exercise {exercise_id!r}; there are {', '.join(known)}.")


def exercises_of(lesson: str) -> tuple[Exercise, ...]:
    """All exercises of a lesson such as "03"; none if there is no such lesson."""
    name = f"{__package__}.lesson_{lesson}"
    if not lesson.isdigit() or find_spec(name) is None:
        return ()
    return import_module(name).EXERCISES


def lessons() -> list[str]:
    """The numbers of all lessons that have exercises."""
    return sorted(p.stem.removeprefix("lesson_") for p in Path(__file__).parent.glob("lesson_*.py"))


class Ladders:
    """Runs checks, and remembers what was solved and how many hints were shown.

    Args:
        progress: Where it is remembered; one of its own, without a file, by default.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress or Progress()

    def check(self, exercise_id: str, answer: Any, *, seed: int | None = None) -> CheckResult:
        """Runs the learner's function or class inside a real engine.

        Args:
            exercise_id: Such as "03.1".
            answer: The function or class itself, not a call of it.
            seed: Of the random inputs; other ones each time by default.

        Returns:
            ✓ or ✗, with a sentence about the numbers.
        """
        exercise = find(exercise_id)
        is_right, message = judge(exercise, answer, seed)
        if is_right:
            self._progress.solved(exercise_id)
        next_step = "" if is_right else self._offer(exercise_id)
        return CheckResult(exercise_id, exercise.title, is_right, message, next_step)

    def hint(self, exercise_id: str) -> Hint:
        """The next hint; after the last one, the last one again."""
        exercise = find(exercise_id)
        rung = min(self._progress.num_hints(exercise_id) + 1, NUM_HINTS)
        self._progress.hinted(exercise_id, rung)
        return Hint(exercise_id, rung, exercise.hints[rung - 1])

    def progress(self) -> ProgressTable:
        """Every exercise, how hard it is, whether it was solved, and with how many hints."""
        every = (exercise for lesson in lessons() for exercise in exercises_of(lesson))
        return ProgressTable(
            tuple(
                Row(
                    each.exercise_id,
                    each.title,
                    each.level,
                    self._progress.is_solved(each.exercise_id),
                    self._progress.num_hints(each.exercise_id),
                )
                for each in every
            )
        )

    def _offer(self, exercise_id: str) -> str:
        num_shown = self._progress.num_hints(exercise_id)
        if num_shown < NUM_HINTS:
            return f'Stuck? hint("{exercise_id}") gives hint {num_shown + 1} of {NUM_HINTS}.'
        lesson = exercise_id.partition(".")[0]
        return f"You have seen every hint. A solution: tests/lessons/solutions/lesson_{lesson}.py."


def judge(exercise: Exercise, answer: Any, seed: int | None = None) -> tuple[bool, str]:
    """(is it right?, what to say about it)."""
    try:
        _require_usable(exercise, answer)
        random = Random(seed)
        return True, run_bounded(
            lambda given: exercise.check(given, random), answer, shipped=exercise.shipped
        )
    except NothingReturned:
        return False, NOTHING_YET if _is_starter(answer) else _no_return(exercise, answer)
    except Wrong as wrong:
        return False, clipped(str(wrong))


def _require_usable(exercise: Exercise, answer: Any) -> None:
    """Raises `Wrong` unless it is the learner's own function, or their class."""
    name, is_class = exercise.name, exercise.name[0].isupper()
    what = "class" if is_class else "function"
    if answer is None or answer is ...:
        raise NothingReturned
    if not callable(answer) or (isinstance(answer, type) and not is_class):
        raise Wrong(
            f'Give the {what} itself, not a result or an object of it: check("'
            f'{exercise.exercise_id}", {name}). You gave {shown(answer)} ({type(answer).__name__}).'
        )
    function = answer.func if isinstance(answer, partial) else answer
    if function in exercise.shipped:
        raise Wrong(f"That is the shipped `{function.__qualname__}`. Write one yourself.")


def _is_starter(answer: Any) -> bool:
    """Whether nothing, or not every method, has been written."""
    if isinstance(answer, type):
        methods = [m for name, m in vars(answer).items() if name != "__init__" and isfunction(m)]
        return any(map(_is_starter, methods))
    if not isfunction(answer):
        return answer is None or answer is ...
    return {instruction.opname for instruction in dis.get_instructions(answer)} <= _OF_A_STARTER


def _no_return(exercise: Exercise, answer: Any) -> str:
    what = f"A method of `{exercise.name}`" if isinstance(answer, type) else f"`{exercise.name}`"
    return f"{what} gave None: it came to its end without a `return`. Is one missing?"


_LADDERS = Ladders(Progress.beside_the_notebook())
check = _LADDERS.check
hint = _LADDERS.hint
progress = _LADDERS.progress
