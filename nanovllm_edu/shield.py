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

    def hold(self, number: int, frame: FrameType | None) -> None:
        """The handler that does not raise."""
        self._held = number, frame

    def check(self) -> None:
        """Raises an interrupt that is held back."""
        held, self._held = self._held, None
        if held is not None and self._handler is not None:
            self._handler(*held)

    @contextmanager
    def window(self) -> Generator[None, None, None]:
        """Inside, an interrupt is raised at once."""
        if self._handler is None:
            yield
            return
        signal.signal(signal.SIGINT, self._handler)
        try:
            self.check()
            yield
        finally:
            signal.signal(signal.SIGINT, self.hold)


@contextmanager
def shielded() -> Generator[Shield, None, None]:
    """Holds an interrupt back until the end of the block, or until a window is opened in it."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    outer = getattr(handler, "__self__", None)
    if isinstance(outer, Shield):
        yield outer
        return
    if not callable(handler):  # another thread, or an interrupt that would not raise anyway
        yield Shield(None)
        return
    shield = Shield(handler)
    signal.signal(signal.SIGINT, shield.hold)
    try:
        yield shield
    finally:
        signal.signal(signal.SIGINT, handler)
        shield.check()
