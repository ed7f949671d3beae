"""`Shield`: a stop button waits while the books are written.

An interrupt (Ctrl-C, a notebook's stop button) is a signal whose handler raises between any two
lines of the main thread. Between two lines of bookkeeping that would leave half a change behind for
ever. So bookkeeping is shielded: an interrupt is held back, and raised

    where the shield is opened    shield.open_for(work): the device works, which can take long
    at the end of the block       well under a millisecond later

Shields nest: an inner one closes the outermost for its block, and leaves the rest to it.
Other threads are never interrupted, so for them nothing happens.

Read next: `gate.py`, which keeps other threads out too.
"""

import threading

# The functions behind those of `signal`, without its look-ups in enums: ten times faster.
from _signal import SIGINT, getsignal, signal  # pyright: ignore[reportMissingImports]
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


class Shield:
    """Stands in for the handler of interrupts, and keeps what arrives."""

    def __init__(self) -> None:
        self._handler: Any = None  # None shields nothing
        self._held: tuple[int, FrameType | None] | None = None
        self._outer: Shield | None = None
        self._was_outer_open = False
        self.is_open = False

    def __enter__(self) -> "Shield":
        if threading.current_thread() is threading.main_thread():
            handler = getsignal(SIGINT)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Shield):
                self._outer, self._was_outer_open = outer, outer.is_open
                outer.is_open = False
                return outer
            if callable(handler):  # else an interrupt would not raise anyway
                self._handler = handler
                signal(SIGINT, self.receive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._outer is not None:
            self._outer.is_open = self._was_outer_open
            if self._was_outer_open:
                self._outer.check()
        elif self._handler is not None:
            signal(SIGINT, self._handler)
            self.check()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler in force: keeps an interrupt, unless it is open."""
        self._held = number, frame
        if self.is_open:
            self.check()

    def check(self) -> None:
        """Raises an interrupt that is held back. What is done about it is shielded again."""
        held, self._held = self._held, None
        if held is not None:
            was_open, self.is_open = self.is_open, False
            self._handler(*held)
            self.is_open = was_open  # it did not raise

    def open_for(self, work: Callable[..., Result], *args: Any) -> Result:
        """Does some work, in which an interrupt is raised at once."""
        was_open = self.is_open
        try:
            self.is_open = True
            self.check()
            return work(*args)
        finally:
            self.is_open = was_open
