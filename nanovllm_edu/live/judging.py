"""What a learner writes in a page: a scheduling policy, checked and scored as in lesson 12.

    check("12.1", source)    the exercise's own check, with its messages
    score(source)            the arena: three workloads, beside the shipped policies

The source runs in the browser of whoever wrote it. What does not come to an end is stopped as in a
lesson, or by the page: it ends the worker when no heart has beaten for some seconds.

Read next: `lessons/arena.py`, `lessons/lesson_12.py`.
"""

from collections.abc import Callable
from functools import cache, wraps
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy, SchedulingPolicy
from nanovllm_edu.errors import ConfigError, NanoVLLMError, shown
from nanovllm_edu.lessons import arena
from nanovllm_edu.lessons.arena import HEADER, Score, scores, workloads
from nanovllm_edu.lessons.exercise import NUM_HINTS, Exercise, Wrong
from nanovllm_edu.lessons.grade import written
from nanovllm_edu.lessons.lesson_12 import EXERCISES, made_policy
from nanovllm_edu.lessons.registry import judge
from nanovllm_edu.lessons.sandbox import run_bounded
from nanovllm_edu.live.options import checked_text

MAX_SOURCE = 20_000
"""Characters."""
STARTER = '''class {name}:
    """Ranks sequences: who goes first, and who gives way."""

    def order(self, running, waiting):
        """Returns a list of groups, each a list of sequences, best first."""
        decoding = [seq for seq in running if seq.is_decoding]
        prefilling = [seq for seq in running if not seq.is_decoding]
        return [[*decoding, *prefilling, *waiting]]

    def victim(self, candidates):
        """Returns the one to preempt."""
        return candidates[-1]
'''
Beat = Callable[[], object]
_numbers = count()


def silent() -> None:
    """Nobody listens."""


def exercises() -> list[dict[str, Any]]:
    """Those of lesson 12: id, title, what is asked for, a starter, hints."""
    return [
        {
            "id": exercise.exercise_id,
            "title": exercise.title,
            "hints": list(exercise.hints[:NUM_HINTS]),
            "starter": STARTER.format(name=exercise.name),
        }
        for exercise in EXERCISES
    ]


def check(
    exercise_id: str, source: str, beat: Beat = silent, seed: int | None = None
) -> dict[str, Any]:
    """Runs an exercise's check on a policy.

    Args:
        exercise_id: Of lesson 12.
        source: Python that defines the class.
        beat: Called whenever the policy is asked.
        seed: Of the random inputs; other ones each time by default.

    Raises:
        ConfigError: There is no such exercise, or the seed is none.
    """
    exercise = _exercise(exercise_id)
    if seed is not None and as_integer(seed) is None:
        raise ConfigError(f"seed={shown(seed)} is not an integer.")
    try:
        answer = _beating(written(_file(source), exercise.name), beat)
    except Wrong as wrong:
        return {"is_right": False, "message": str(wrong)}
    is_right, message = judge(exercise, answer, seed)
    return {"is_right": is_right, "message": message}


def score(source: str, beat: Beat = silent) -> dict[str, Any]:
    """A policy in the arena, beside the shipped ones.

    Raises:
        Wrong: The source is no policy, or it does not come to an end.
    """
    found: list[Score] = []

    def run(policy: SchedulingPolicy) -> str:
        found.extend(scores(policy).scores)
        return ""

    run_bounded(run, written_policy(source, beat))
    for number in range(len(workloads())):
        for policy in (MixedPolicy, PhaseSeparatedPolicy):
            found.append(_shipped_score(policy, number))
            beat()
    rows = sorted(found, key=lambda each: each.workload)
    return {"header": list(HEADER), "rows": [list(each.row) for each in rows]}


def written_policy(source: str, beat: Beat = silent) -> SchedulingPolicy:
    """An object of the class that a source defines last.

    Raises:
        Wrong: It defines none, or it is no policy.
    """
    path = _file(source)
    names = [line[6:].partition("(")[0].rstrip(": ") for line in source.splitlines()
             if line.startswith("class ")]  # fmt: skip
    if not names:
        raise Wrong("There is no class here. Write one with `order()` and `victim()`.")
    return made_policy(_beating(written(path, names[-1]), beat))


def _beating(answer: Any, beat: Beat) -> Any:
    """The same class, whose `order` beats first: while it is asked again and again, it goes on."""
    order = getattr(answer, "order", None)
    if not isinstance(answer, type) or not callable(order):
        return answer

    @wraps(order)
    def beating(*args: Any, **kwargs: Any) -> Any:
        beat()
        return order(*args, **kwargs)

    answer.order = beating  # pyright: ignore[reportAttributeAccessIssue]
    return answer


@cache
def _shipped_score(policy: Callable[[], SchedulingPolicy], number: int) -> Score:
    return arena.score(policy(), workloads()[number])


def _exercise(exercise_id: str) -> Exercise:
    for exercise in EXERCISES:
        if exercise.exercise_id == exercise_id:
            return exercise
    known = ", ".join(exercise.exercise_id for exercise in EXERCISES)
    raise ConfigError(f"exercise {shown(exercise_id)} is not one of {known}.")


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="policies-"))


def _file(source: str) -> str:
    """A file of its own for each source: messages quote its lines, also later.

    Raises:
        Wrong: It is no text, or a long one.
    """
    try:
        checked_text(source, "source")
    except NanoVLLMError as error:
        raise Wrong(str(error)) from None
    if len(source) > MAX_SOURCE:
        raise Wrong(f"This is {len(source)} characters of code; at most {MAX_SOURCE} are read.")
    path = _folder() / f"policy_{next(_numbers)}.py"
    path.write_text(source, encoding="utf-8")
    return str(path)
