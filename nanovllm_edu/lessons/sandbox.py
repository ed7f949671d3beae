"""Runs a learner's code: bounded, and with every failure turned into a sentence about their line.

Three bounds. The lines that the *learner's* code executes, the same on any machine. The seconds
that one call of it takes, for a loop whose lines are slow or that catches everything. What it
prints. Our own code and the libraries run at full speed.

It is no prison: the code is the learner's own, in their own kernel. A loop inside a single call of
C (`list(itertools.count())`) is beyond reach here; `grade.py` runs answers in a process of their
own, which can be ended.

Read next: `checks.py`, the comparisons that exercises are made of.
"""

import ctypes
import io
import linecache
import re
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.shown import clipped

MAX_LINES = 300_000
"""Lines a learner's code may execute in one check. Solutions need a few thousand."""

MAX_SECONDS = 4.0
"""Of one call of the learner's code. Solutions take a fraction of a second."""

MAX_PRINTED = 20_000
"""Characters that it may print in one check."""

_PACKAGE = str(Path(__file__).parent.parent)
_NOT_THE_LEARNERS = (
    _PACKAGE,
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    "<frozen",
    "<string>",  # what dataclasses and shape checks generate
    "<@beartype",
    "<__array_function__",
)
_COMPILED = (".pyx", ".pxd", ".pxi")  # of libraries in Cython, such as numpy's random numbers
_OTHER_ARGUMENTS = re.compile(
    r"takes .*positional argument|missing \d+ required|unexpected keyword|takes no arguments"
)


class _Stopped(BaseException):
    """Out of lines, time or paper. Not an `Exception`, so `except Exception` lets it pass."""


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
    meter = _Meter(max_lines, shipped)
    watchdog = _Watchdog(meter)
    try:
        message = _run(check, answer, meter)
    except _Stopped as stop:
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


def _run(check: Callable[[Any], str], answer: Any, meter: "_Meter") -> str:
    before = sys.gettrace()
    try:
        out, err = _Paper(sys.stdout, meter), _Paper(sys.stderr, meter)
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


@cache
def is_learners(filename: str) -> bool:
    """Whether a file is a notebook cell or a script, as opposed to this package or a library."""
    return not filename.startswith(_NOT_THE_LEARNERS) and not filename.endswith(_COMPILED)


def _last_line(error: BaseException, skip: int = 0) -> traceback.FrameSummary | None:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_learners(f.filename)]
    return frames[-1 - skip] if len(frames) > skip else None


def _your_line(frame: traceback.FrameSummary | None) -> str:
    return f" Your line {frame.lineno}: {clipped(frame.line or '', 200)}" if frame else ""


class _Meter:
    """Counts the lines of the learner's frames and times each call from outside into them."""

    def __init__(self, max_lines: int, shipped: tuple[Callable[..., Any], ...]) -> None:
        self.max_lines, self.num_lines, self.num_printed = max_lines, 0, 0
        self.shipped = {function.__code__: function.__name__ for function in shipped}
        self.depth, self.since = 0, float("inf")
        self.why = self.where = ""

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        """A trace function: follows the learner's frames only."""
        if not is_learners(frame.f_code.co_filename):
            if frame.f_code in self.shipped and frame.f_back is not None:
                self._borrowed(frame, frame.f_back)
            return None
        if self.depth == 0:
            self.since = time.monotonic()
        self.depth += 1
        return self.on_event

    def on_event(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Lines and returns of a frame of theirs."""
        if event == "line":
            self.num_lines += 1
            if self.num_lines > self.max_lines:
                self.why = f"was stopped after {self.max_lines:,} lines"
                self.where = _place(frame)
                raise _Stopped
        elif event == "return":
            self.depth -= 1
            self.since = self.since if self.depth else float("inf")
        return self.on_event

    def _borrowed(self, frame: FrameType, caller: FrameType) -> None:
        if is_learners(caller.f_code.co_filename):
            self.why = f"calls the shipped `{self.shipped[frame.f_code]}`"
            self.where = _place(caller)
            raise _Stopped

    def complaint(self, line: traceback.FrameSummary | None) -> str:
        """Why the code was stopped, and where."""
        if not self.where and line is not None:
            self.where = f", at line {line.lineno}: {clipped(line.line or '', 200)!r}"
        advice = "Does this loop ever end?"
        if "printed" in self.why:
            advice = "Print less."
        if "shipped" in self.why:
            advice = "Write what it does yourself."
        return f"Your code {self.why}{self.where}. {advice}"


def _place(frame: FrameType) -> str:
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return f", at line {frame.f_lineno}: {clipped(source, 200)!r}"


class _Paper(io.TextIOBase):
    """Passes on what is printed, until it is too much."""

    def __init__(self, target: TextIO, meter: _Meter) -> None:
        self.target, self.meter = target, meter

    def write(self, text: str) -> int:
        self.meter.num_printed += len(text)
        if self.meter.num_printed > MAX_PRINTED:
            self.meter.why = f"was stopped after it had printed {MAX_PRINTED:,} characters"
            raise _Stopped
        return self.target.write(text)

    def flush(self) -> None:
        self.target.flush()


class _Watchdog:
    """Stops a call that takes too long, from another thread, until it gives in.

    A trace function that raises is switched off, so a loop that catches everything would go on;
    this one comes back.
    """

    def __init__(self, meter: _Meter) -> None:
        self._meter = meter
        self._is_over = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Returns when nothing more will come."""
        while True:
            try:
                self._is_over.set()
                self._thread.join()
                for _ in range(100):  # a last one may be on its way: here it arrives
                    pass
                return
            except _Stopped:
                continue

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            if time.monotonic() - self._meter.since > MAX_SECONDS:
                self._meter.why = self._meter.why or f"was stopped after {MAX_SECONDS:.0f} seconds"
                _raise_stopped_in(self._watched)


def _raise_stopped_in(thread_id: int) -> None:
    """Raises `_Stopped` in another thread, before its next instruction of Python."""
    what = ctypes.py_object(_Stopped)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), what)
