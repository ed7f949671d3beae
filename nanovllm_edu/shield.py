"""`shielded`: a stop button waits while the books are being written.

An interrupt (Ctrl-C, a notebook's stop button) is a signal whose handler raises between any two
lines of the main thread. Between two lines of bookkeeping that would leave half a change behind for
ever. So bookkeeping is shielded: an interrupt is held back, and raised

    where a window is opened      with shield.window(): the device works, which can take long
    at the end of the block       well under a millisecond later

Shields nest: an inner one leaves everything to the outermost. Other threads are never interrupted,
so for them nothing happens.

Read next: `engine.py`, whose verbs are shielded.
"""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Shield:
    """Stands in for a signal handler and keeps what arrives. None in `handler` shields nothing."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._held: tuple[int, FrameType | None] | None = None
        self._is_open = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler in force: keeps an interrupt, unless a window is open."""
        self._held = number, frame
        if self._is_open:
            self.check()

    def check(self) -> None:
        """Raises an interrupt that is held back. What is done about it is shielded again."""
        held, self._held = self._held, None
        if held is not None:
            was_open, self._is_open = self._is_open, False
            self._handler(*held)
            self._is_open = was_open  # it did not raise

    def window(self) -> "Window":
        """A block in which an interrupt is raised at once."""
        return Window(self, is_open=True)


class Window:
    """Opens a shield for a block, or closes it.

    A class, because a generator that an interrupt keeps from its end would come to it later, at
    whatever moment it is collected.
    """

    def __init__(self, shield: Shield, *, is_open: bool) -> None:
        self._shield, self._is_open, self._before = shield, is_open, shield._is_open

    def __enter__(self) -> Shield:
        self._set(self._is_open)
        return self._shield

    def __exit__(self, *exc_info: object) -> None:
        self._set(self._before)

    def _set(self, is_open: bool) -> None:
        self._shield._is_open = is_open
        if is_open:
            self._shield.check()


@contextmanager
def shielded() -> Generator[Shield, None, None]:
    """Holds an interrupt back until the end of the block, or until a window is opened in it."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    outer = getattr(handler, "__self__", None)
    if isinstance(outer, Shield):
        with Window(outer, is_open=False):
            yield outer
        return
    if not callable(handler):  # another thread, or an interrupt that would not raise anyway
        yield Shield(None)
        return
    shield = Shield(handler)
    signal.signal(signal.SIGINT, shield.receive)
    try:
        yield shield
    finally:
        signal.signal(signal.SIGINT, handler)
        shield.check()
