"""What bounds a learner's code: lines, seconds and printed characters, and how it is stopped.

    meter = Meter(max_lines, shipped)     follows their frames, as a trace function
    Paper(sys.stdout, meter)              takes what they print
    Watchdog(meter)                       stops a call that takes too long

Each of them raises `Stopped` in their code. It knows nothing of exercises.

Read next: `sandbox.py`, which puts them around a check.
"""

import ctypes
import io
import linecache
import os
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TextIO

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
    str(Path(os.__file__).parent),  # a browser's library is an archive
    "<frozen",
    "<string>",  # what dataclasses and shape checks generate
    "<@beartype",
    "<__array_function__",
)
_COMPILED = (".pyx", ".pxd", ".pxi")  # of libraries in Cython, such as numpy's random numbers


class Stopped(BaseException):
    """Out of lines, time or paper. Not an `Exception`, so `except Exception` lets it pass."""


@cache
def is_learners(filename: str) -> bool:
    """Whether a file is a notebook cell or a script, as opposed to this package or a library."""
    return not filename.startswith(_NOT_THE_LEARNERS) and not filename.endswith(_COMPILED)


class Meter:
    """Counts the lines of the learner's frames and times each call from outside into them."""

    def __init__(self, max_lines: int, shipped: tuple[Callable[..., Any], ...]) -> None:
        self.max_lines, self.num_lines, self.num_printed = max_lines, 0, 0
        self.shipped = {function.__name__: function.__code__ for function in shipped}
        self.depth, self.since = 0, float("inf")
        self.why = self.where = ""

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        """A trace function: follows the learner's frames only."""
        code = frame.f_code
        if not is_learners(code.co_filename):
            if code.co_name in self.shipped and frame.f_back is not None:
                self._borrowed(code, frame.f_back)
            return None
        if self.depth == 0:
            self.since = time.monotonic()
        self.depth += 1
        return self.on_event

    def on_event(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Lines and returns of a frame of theirs."""
        if event == "line":
            if self.why:  # it was stopped and caught that: what is raised in a handler gets out
                raise Stopped
            self.num_lines += 1
            if self.num_lines > self.max_lines:
                self.why = f"was stopped after {self.max_lines:,} lines"
                self.where = _place(frame)
                raise Stopped
        elif event == "return":
            self.depth -= 1
            self.since = self.since if self.depth else float("inf")
        return self.on_event

    def _borrowed(self, code: CodeType, caller: FrameType) -> None:
        if self.shipped[code.co_name] is code and is_learners(caller.f_code.co_filename):
            self.why = f"calls the shipped `{code.co_name}`"
            self.where = _place(caller)
            raise Stopped

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


class Paper(io.TextIOBase):
    """Passes on what is printed, until it is too much."""

    def __init__(self, target: TextIO, meter: Meter) -> None:
        self.target, self.meter = target, meter

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.target.encoding

    def isatty(self) -> bool:
        return self.target.isatty()

    def write(self, text: str) -> int:
        self.meter.num_printed += len(text)
        if self.meter.num_printed > MAX_PRINTED:
            self.meter.why = f"was stopped after it had printed {MAX_PRINTED:,} characters"
            raise Stopped
        return self.target.write(text)

    def flush(self) -> None:
        self.target.flush()


class Watchdog:
    """Stops a call that takes too long, from another thread, until it gives in.

    A trace function that raises is switched off, so a loop that catches everything would go on;
    this one comes back.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._is_over = threading.Event()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # a browser's Python has no threads: there the page is the watchdog
            self._thread = None

    def end(self) -> None:
        """Returns when nothing more will come."""
        while True:
            try:
                self._is_over.set()
                if self._thread is not None:
                    self._thread.join()
                for _ in range(100):  # a last one may be on its way: here it arrives
                    pass
                return
            except Stopped:
                continue

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            if time.monotonic() - self._meter.since > MAX_SECONDS:
                self._meter.why = self._meter.why or f"was stopped after {MAX_SECONDS:.0f} seconds"
                _raise_stopped_in(self._watched)


def _raise_stopped_in(thread_id: int) -> None:
    """Raises `Stopped` in another thread, before its next instruction of Python."""
    what = ctypes.py_object(Stopped)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), what)
