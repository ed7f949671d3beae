"""`Gate`: lets one thread in at a time, and no interrupt; and ends what somebody let go of.

    with gate.exclusive() as shield: ...      no other thread comes between the lines of this block
    gate.drop(things)                         their owner is gone: end them as soon as nobody is in

A garbage collector may let go of a stream in the middle of a verb, in any thread. So `drop` waits
for nobody: whoever is inside ends what was dropped on leaving.

It does not know what it guards. Read next: `engine.py`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from nanovllm_edu.shield import Shield


class Gate:
    """One lock, and what waits to be ended.

    Args:
        end: Ends one dropped thing; called when nobody is inside.
    """

    def __init__(self, end: Callable[[Any], None]) -> None:
        self.lock = threading.RLock()
        self.num_inside = 0
        self._end = end
        self._dropped: deque[Any] = deque()

    def exclusive(self) -> "Exclusive":
        """A block between whose lines no other thread and no interrupt comes."""
        return Exclusive(self)

    def drop(self, things: Iterable[Any]) -> None:
        """Ends these as soon as nobody is inside."""
        self._dropped.extend(things)
        with Shield():
            self.end_dropped()

    def end_dropped(self) -> None:
        """Ends what was dropped, unless somebody is inside: then that one does it on leaving."""
        while self._dropped and self.lock.acquire(blocking=False):
            is_alone = self.num_inside == 0
            self.num_inside += 1
            try:
                while is_alone and self._dropped:
                    self._end(self._dropped.popleft())
            finally:
                self.num_inside -= 1
                self.lock.release()
            if not is_alone:
                break


class Exclusive:
    """The block of `Gate.exclusive`."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._shield = gate, Shield()

    def __enter__(self) -> Shield:
        shield = self._shield.__enter__()
        try:
            self._gate.end_dropped()
            while not self._gate.lock.acquire(timeout=0.05):
                shield.check()  # the thread that is in may wait for its device
        except BaseException:
            self._shield.__exit__()
            raise
        self._gate.num_inside += 1
        return shield

    def __exit__(self, *exc_info: object) -> None:
        gate = self._gate
        gate.num_inside -= 1
        gate.lock.release()
        try:
            gate.end_dropped()
        finally:
            self._shield.__exit__()
