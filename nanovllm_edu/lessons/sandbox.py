"""Runs a learner's code: bounded, and with every failure turned into a sentence about their line.

The bound counts the lines that the *learner's* code executes, not seconds: the same code gets the
same answer on any machine. Our own code and the libraries run at full speed.

It is no prison: the code is the learner's own, in their own kernel.

Read next: `checks.py`, the comparisons that exercises are made of.
"""

import linecache
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.lessons.exercise import Wrong

MAX_LINES = 300_000
"""Lines a learner's code may execute in one check. Solutions need a few thousand."""

_PACKAGE = str(Path(__file__).parent.parent)
_NOT_THE_LEARNERS = (
    _PACKAGE,
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    "<frozen",
    "<string>",  # what dataclasses and shape checks generate
    "<@beartype",
    "<__array_function__",
)


class _TooLong(BaseException):
    """Out of lines. Not an `Exception`, so that a learner's `except Exception` lets it pass."""


def run_bounded(check: Callable[[Any], str], answer: Any, max_lines: int = MAX_LINES) -> str:
    """Calls `check(answer)`.

    Returns:
        What the check says about a right answer.

    Raises:
        Wrong: For a wrong answer, an exception or an endless loop in it.
    """
    before = sys.gettrace()
    counter = _LineCounter(max_lines)
    try:
        sys.settrace(counter.on_call)
        return check(answer)
    except Wrong:
        raise
    except _TooLong:
        raise Wrong(
            f"Your code was stopped after {max_lines:,} lines, at line {counter.line}: "
            f"{counter.source!r}. Does this loop ever end?"
        ) from None
    except Exception as error:
        raise Wrong(explain(error)) from None
    finally:
        sys.settrace(before)


def explain(error: Exception) -> str:
    """One sentence about an exception, with the learner's own line if it passed through one."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_learners(f.filename)]
    where = f" Your line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    if isinstance(error, NanoVLLMError):
        return f"The engine refused: {error}{where}"
    if frames:
        return f"Your code raised {what}.{where}"
    if isinstance(error, AssertionError):
        return f"With your code the engine's books no longer balance. {what}"
    return f"The engine could not work with what your code returned. {what}"


def is_learners(filename: str) -> bool:
    """Whether a file is a notebook cell or a script, as opposed to this package or a library."""
    return not filename.startswith(_NOT_THE_LEARNERS)


class _LineCounter:
    """A trace function that counts lines in the learner's frames only."""

    def __init__(self, max_lines: int) -> None:
        self.left = max_lines
        self.line, self.source = 0, ""

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self.on_line if is_learners(frame.f_code.co_filename) else None

    def on_line(self, frame: FrameType, event: str, arg: Any) -> Any:
        self.left -= event == "line"
        if self.left < 0:
            self.line = frame.f_lineno
            self.source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            raise _TooLong
        return self.on_line
