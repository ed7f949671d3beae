"""`Gate`: lets one thread in at a time, and no interrupt; and ends what somebody let go of.

    with gate as shield: ...      no other thread comes between the lines of this block
    gate.drop(things)             their owner is gone: end them as soon as nobody is in

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
    """One lock, and what waits to be ended. Whoever is inside may come in once more.

    Args:
        end: Ends one dropped thing; called when nobody is inside.
    """

    def __init__(self, end: Callable[[Any], None]) -> None:
        self._lock = threading.RLock()
        self._shields: list[Shield] = []  # of the blocks that whoever has the lock is in
        self._end = end
        self._dropped: deque[Any] = deque()
        self._num_inside = 0

    def __enter__(self) -> Shield:
        shield = Shield()
        in_force = shield.__enter__()
        try:
            self.end_dropped()
            while not self._lock.acquire(timeout=0.05):
                in_force.check()  # the thread that is in may wait for its device
        except BaseException:
            shield.__exit__()
            raise
        self._num_inside += 1
        self._shields.append(shield)
        return in_force

    def __exit__(self, *exc_info: object) -> None:
        shield = self._shields.pop()
        self._num_inside -= 1
        self._lock.release()
        try:
            self.end_dropped()
        finally:
            shield.__exit__()

    def drop(self, things: Iterable[Any]) -> None:
        """Ends these as soon as nobody is inside."""
        self._dropped.extend(things)
        with Shield():
            self.end_dropped()

    def end_dropped(self) -> None:
        """Ends what was dropped, unless somebody is inside: then that one does it on leaving."""
        while self._dropped and self._lock.acquire(blocking=False):
            is_alone = self._num_inside == 0
            self._num_inside += 1
            try:
                while is_alone and self._dropped:
                    self._end(self._dropped.popleft())
            finally:
                self._num_inside -= 1
                self._lock.release()
            if not is_alone:
                break
