"""`Shield`: a stop button waits while the books are written.

An interrupt (Ctrl-C, a notebook's stop button) is a signal whose handler raises between any two
lines of the main thread. Between two lines of bookkeeping that would leave half a change behind for
ever. So bookkeeping is shielded: an interrupt is held back, and raised

    where a window is opened      with shield.window(): the device works, which can take long
    at the end of the block       well under a millisecond later

Shields nest: an inner one closes the window it stands in, and leaves the rest to the outermost.
Other threads are never interrupted, so for them nothing happens.

Read next: `gate.py`, which keeps other threads out too.
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
        self._inside: Window | None = None
        self.is_open = False

    def __enter__(self) -> "Shield":
        if threading.current_thread() is threading.main_thread():
            handler = getsignal(SIGINT)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Shield):
                self._inside = Window(outer, is_open=False)
                return self._inside.__enter__()
            if callable(handler):  # else an interrupt would not raise anyway
                self._handler = handler
                signal(SIGINT, self.receive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._inside is not None:
            self._inside.__exit__()
        elif self._handler is not None:
            signal(SIGINT, self._handler)
            self.check()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler in force: keeps an interrupt, unless a window is open."""
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

    def window(self) -> "Window":
        """A block in which an interrupt is raised at once."""
        return Window(self, is_open=True)


class Window:
    """Opens a shield for a block, or closes it.

    A class, because a generator that an interrupt keeps from its end would come to it later, at
    whatever moment it is collected.
    """

    def __init__(self, shield: Shield, *, is_open: bool) -> None:
        self._shield, self._is_open, self._before = shield, is_open, shield.is_open

    def __enter__(self) -> Shield:
        self._set(self._is_open)
        return self._shield

    def __exit__(self, *exc_info: object) -> None:
        self._set(self._before)

    def _set(self, is_open: bool) -> None:
        self._shield.is_open = is_open
        if is_open:
            self._shield.check()
