"""Interrupts where they hurt: SIGINT, really raised, before any chosen line of the package.

`Injector(at)` counts the lines that are executed in the package (and in `contextlib`, which runs
its `with` statements), and raises the signal before line number `at`. What Python does then is what
it does when the stop button is pressed at that moment.
"""

import contextlib
import signal
import sys
from types import FrameType
from typing import Any

import nanovllm_edu

FOLDER = nanovllm_edu.__path__[0]
CONTEXTLIB = contextlib.__file__


class Injector:
    """Raises SIGINT before each of some executed lines. Without any it only counts.

    Attributes:
        num_lines: Lines executed so far.
        place: File and line of the newest one that was chosen, once it came.
    """

    def __init__(self, *at: int) -> None:
        self.at = set(at)
        self.num_lines = 0
        self.place = ""

    def __enter__(self) -> "Injector":
        sys.settrace(self._enter)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        return self._line if name.startswith(FOLDER) or name == CONTEXTLIB else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.num_lines += 1
            if self.num_lines in self.at:
                self.place = f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
                if self.num_lines == max(self.at):
                    sys.settrace(None)  # what follows runs at full speed
                signal.raise_signal(signal.SIGINT)
        return self._line
