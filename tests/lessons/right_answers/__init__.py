"""Answers that are right in another way than the solution: other types, other ideas.

@right("03.1")
def as_an_array(block_table, start, num_tokens, block_size): ...
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class RightAnswer(NamedTuple):
    exercise_id: str
    answer: Any


RIGHT_ANSWERS: list[RightAnswer] = []


def right(exercise_id: str) -> Callable[[Any], Any]:
    """Registers a function or class that must be accepted."""

    def register(answer: Any) -> Any:
        RIGHT_ANSWERS.append(RightAnswer(exercise_id, answer))
        return answer

    return register
