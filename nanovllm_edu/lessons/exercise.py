"""`Exercise` and what a check says: right or wrong, why, and which hint comes next.

An exercise's `check` runs the learner's function or class inside a real engine. It returns a
sentence about what went right, or raises `Wrong` with a sentence that has the numbers in it.
Whatever else goes wrong while the learner's code runs (an exception, an endless loop, a result that
the engine refuses) becomes such a sentence too: a learner never sees a traceback of ours.

First come inputs that are the same for everybody, so that a message can be talked about; then fresh
random ones, so that an answer cannot be right for those alone.

Read next: `sandbox.py`, which bounds and explains the learner's code.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from random import Random
from typing import Any, Literal

from nanovllm_edu.core import html

NUM_HINTS = 3

Level = Literal["easy", "medium", "hard"]


def prose(text: str) -> str:
    """Our messages as HTML: escaped, and what stands in `backticks` as code."""
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text))


class Wrong(Exception):
    """The answer is wrong; the message says what is wrong with the numbers."""


class NothingReturned(Wrong):
    """The learner's code gave None: it is the starter still, or a `return` was forgotten."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """Something to write, and how to tell whether it works.

    Attributes:
        exercise_id: Lesson and number, such as "03.1".
        title: A few words.
        name: The function or class that the learner writes.
        level: How hard it is.
        hints: Three rungs: what to think about, how to go about it, almost the answer.
        check: Takes the learner's answer and a source of random inputs; returns what to say if it
            is right, or raises `Wrong`.
        shipped: Functions of this package that are the answer already: they may not be called.
    """

    exercise_id: str
    title: str
    name: str
    level: Level
    hints: tuple[str, str, str]
    check: Callable[[Any, Random], str]
    shipped: tuple[Callable[..., Any], ...] = ()

    def __post_init__(self) -> None:
        assert re.fullmatch(r"\d\d\.\d", self.exercise_id), self.exercise_id
        assert len(self.hints) == NUM_HINTS


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `check` answers. True in an `if` when the answer is right."""

    exercise_id: str
    title: str
    is_right: bool
    message: str
    next_step: str

    def __bool__(self) -> bool:
        return self.is_right

    def __repr__(self) -> str:
        lines = [f"{self._mark} {self.exercise_id} {self.title}", *self.message.splitlines()]
        return "\n  ".join([*lines, *self.next_step.splitlines()])

    def _repr_html_(self) -> str:
        colour = html.GOOD if self.is_right else html.BAD
        return (
            f'<div style="border-left:4px solid {colour};padding:4px 12px;margin:4px 0;'
            f'color:{html.INK}">'
            f'<div><b style="color:{colour}">{self._mark}</b> '
            f"<b>{escape(self.exercise_id)} {prose(self.title)}</b></div>"
            f'<div style="white-space:pre-wrap">{prose(self.message)}</div>'
            f'<div style="color:{html.FAINT_INK};font-size:90%">'
            f"{prose(self.next_step)}</div></div>"
        )

    @property
    def _mark(self) -> str:
        return "✓" if self.is_right else "✗"


@dataclass(frozen=True, slots=True)
class Hint:
    """One rung of a ladder."""

    exercise_id: str
    rung: int
    text: str

    def __repr__(self) -> str:
        return f"Hint {self.rung} of {NUM_HINTS} for {self.exercise_id}: {self.text}"

    def _repr_html_(self) -> str:
        return (
            '<div style="border-left:4px solid var(--jp-info-color1,#1976d2);padding:4px 12px;'
            f'color:{html.INK}">'
            f"<b>Hint {self.rung} of {NUM_HINTS}</b> · {prose(self.text)}</div>"
        )
