"""`Shield`: a stop button waits while the books are written. `Exclusive`: other threads too.

An interrupt (Ctrl-C, a notebook's stop button) is a signal whose handler raises between any two
lines of the main thread. Between two lines of bookkeeping that would leave half a change behind for
ever. So bookkeeping is shielded: an interrupt is held back, and raised

    where a window is opened      with shield.window(): the device works, which can take long
    at the end of the block       well under a millisecond later

Shields nest: an inner one leaves everything to the outermost. Other threads are never interrupted,
so for them nothing happens.

Read next: `engine.py`, whose verbs are exclusive.
"""

import threading

# The functions behind those of `signal`, without its look-ups in enums: ten times faster.
from _signal import SIGINT, getsignal, signal  # pyright: ignore[reportMissingImports]
from types import FrameType
from typing import Any


class Shield:
    """Stands in for the handler of interrupts, and keeps what arrives."""

    def __init__(self) -> None:
        self._handler: Any = None  # None shields nothing
        self._held: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> "Shield":
        if threading.current_thread() is threading.main_thread():
            handler = getsignal(SIGINT)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Shield):
                return outer
            if callable(handler):  # else an interrupt would not raise anyway
                self._handler = handler
                signal(SIGINT, self.hold)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._handler is not None:
            signal(SIGINT, self._handler)
            self.check()

    def hold(self, number: int, frame: FrameType | None) -> None:
        """The handler that does not raise."""
        self._held = number, frame

    def check(self) -> None:
        """Raises an interrupt that is held back."""
        held, self._held = self._held, None
        if held is not None:
            self._handler(*held)

    def window(self) -> "Window":
        """A block in which an interrupt is raised at once."""
        return Window(self, self._handler)


class Window:
    """Opens a shield, for a block."""

    def __init__(self, shield: Shield, handler: Any) -> None:
        self._shield, self._handler = shield, handler

    def __enter__(self) -> None:
        self._shield.check()
        if self._handler is not None:
            signal(SIGINT, self._handler)

    def __exit__(self, *exc_info: object) -> None:
        if self._handler is not None:
            signal(SIGINT, self._shield.hold)


class Exclusive:
    """No other thread and no interrupt comes between the lines of this block."""

    def __init__(self, lock: Any) -> None:
        """`lock`: re-entrant, held during the block."""
        self._lock, self._shield = lock, Shield()

    def __enter__(self) -> Shield:
        shield = self._shield.__enter__()
        try:
            while not self._lock.acquire(timeout=0.05):
                shield.check()  # the thread that is in may wait for its device
        except BaseException:
            self._shield.__exit__()
            raise
        return shield

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()
        self._shield.__exit__()
