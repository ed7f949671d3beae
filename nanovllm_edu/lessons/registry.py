"""`check` and `hint`: find the exercise by its id, run it, offer the next rung.

"03.1" lives in `lesson_03.py`, which is imported when it is first asked for. The only memory is how
far up each ladder the learner has climbed in this kernel.

Read next: `exercise.py`.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nanovllm_edu.lessons.exercise import NUM_HINTS, CheckResult, Exercise, Hint, Wrong
from nanovllm_edu.lessons.sandbox import run_bounded


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
    """Runs checks, and remembers how many hints of each exercise were shown."""

    def __init__(self) -> None:
        self._num_shown: dict[str, int] = {}

    def check(self, exercise_id: str, answer: Any) -> CheckResult:
        """Runs the learner's function or class inside a real engine.

        Args:
            exercise_id: Such as "03.1".
            answer: The function or class itself, not a call of it.

        Returns:
            ✓ or ✗, with a sentence about the numbers.
        """
        exercise = find(exercise_id)
        try:
            message, is_right = run_bounded(exercise.check, answer), True
        except Wrong as wrong:
            message, is_right = str(wrong), False
        next_step = "" if is_right else self._offer(exercise_id)
        return CheckResult(exercise_id, exercise.title, is_right, message, next_step)

    def hint(self, exercise_id: str) -> Hint:
        """The next hint; after the last one, the last one again."""
        exercise = find(exercise_id)
        rung = min(self._num_shown.get(exercise_id, 0) + 1, NUM_HINTS)
        self._num_shown[exercise_id] = rung
        return Hint(exercise_id, rung, exercise.hints[rung - 1])

    def _offer(self, exercise_id: str) -> str:
        shown = self._num_shown.get(exercise_id, 0)
        if shown < NUM_HINTS:
            return f'Stuck? hint("{exercise_id}") gives hint {shown + 1} of {NUM_HINTS}.'
        lesson = exercise_id.partition(".")[0]
        return f"You have seen every hint. The solution: notebooks/solutions/lesson_{lesson}.py."


_LADDERS = Ladders()
check = _LADDERS.check
hint = _LADDERS.hint
