"""Runs a learner's code: bounded, and with every failure turned into a sentence about their line.

Three bounds (`bounds.py`). The lines that the *learner's* code executes, the same on any machine.
The seconds that one call of it takes, for a loop whose lines are slow or that catches everything.
What it prints. Our own code and the libraries run at full speed.

It is no prison: the code is the learner's own, in their own kernel. A loop inside a single call of
C (`list(itertools.count())`) is beyond reach here; `grade.py` runs answers in a process of their
own, which can be ended.

Read next: `checks.py`, the comparisons that exercises are made of.
"""

import re
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.lessons.bounds import MAX_LINES, Meter, Paper, Stopped, Watchdog, is_learners
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.shown import clipped

_OTHER_ARGUMENTS = re.compile(
    r"takes .*positional argument|missing \d+ required|unexpected keyword|takes no arguments"
)


def run_bounded(
    check: Callable[[Any], str],
    answer: Any,
    max_lines: int = MAX_LINES,
    shipped: tuple[Callable[..., Any], ...] = (),
) -> str:
    """Calls `check(answer)`.

    Args:
        check: Of an exercise.
        answer: The learner's function or class.
        max_lines: That their code may execute.
        shipped: Functions that their code may not call.

    Returns:
        What the check says about a right answer.

    Raises:
        Wrong: For a wrong answer, an exception in it, or if it does not come to an end.
    """
    meter = Meter(max_lines, shipped)
    watchdog = Watchdog(meter)
    try:
        message = _run(check, answer, meter)
    except Stopped as stop:
        raise Wrong(meter.complaint(_last_line(stop))) from None
    except SystemExit as stop:
        raise Wrong(
            "Your code ends the program (`sys.exit`, `exit` or `quit`); outside the check that "
            f"would end your session too. Return instead.{_your_line(_last_line(stop))}"
        ) from None
    finally:
        watchdog.end()
    if meter.why:  # it was stopped, and caught that
        raise Wrong(meter.complaint(None))
    return message


def _run(check: Callable[[Any], str], answer: Any, meter: Meter) -> str:
    before = sys.gettrace()
    try:
        out, err = Paper(sys.stdout, meter), Paper(sys.stderr, meter)
        with redirect_stdout(out), redirect_stderr(err):
            sys.settrace(meter.on_call)
            return check(answer)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(explain(error)) from None
    finally:
        sys.settrace(before)


def explain(error: Exception) -> str:
    """One sentence about an exception, with the learner's own line if it passed through one."""
    what = clipped(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, 600)
    line = _last_line(error)
    where = _your_line(line)
    if isinstance(error, NanoVLLMError):
        return f"The engine refused: {error}{where}"
    if isinstance(error, SyntaxError):
        return f"Python cannot read it: {what}"
    if isinstance(error, RecursionError):
        caller = _last_line(error, 1)  # the last one had not got further than its `def`
        return f"Your code calls itself without end ({what}).{_your_line(caller)}"
    if line is not None:
        return f"Your code raised {what}.{where}"
    if isinstance(error, TypeError) and _OTHER_ARGUMENTS.search(str(error)):
        return f"{error}. Keep the arguments of the starter: the check calls it like that."
    if isinstance(error, AssertionError):
        return f"With your code the engine's books no longer balance. {what}"
    return f"The engine could not work with what your code returned. {what}"


def _last_line(error: BaseException, skip: int = 0) -> traceback.FrameSummary | None:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_learners(f.filename)]
    return frames[-1 - skip] if len(frames) > skip else None


def _your_line(frame: traceback.FrameSummary | None) -> str:
    return f" Your line {frame.lineno}: {clipped(frame.line or '', 200)}" if frame else ""
