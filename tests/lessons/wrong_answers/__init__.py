"""Plausible wrong answers, each beside a part of the message that is meant for it.

from tests.lessons.wrong_answers import wrong

@wrong("03.1", "as if the sequence lay in one piece")
def contiguous(block_table, start, num_tokens, block_size): ...
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class WrongAnswer(NamedTuple):
    exercise_id: str
    answer: Any
    expected: str


WRONG_ANSWERS: list[WrongAnswer] = []


def wrong(exercise_id: str, expected: str) -> Callable[[Any], Any]:
    """Registers a function or class as a wrong answer that must be told `expected`."""

    def register(answer: Any) -> Any:
        WRONG_ANSWERS.append(WrongAnswer(exercise_id, answer, expected))
        return answer

    return register
