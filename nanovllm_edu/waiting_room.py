"""`WaitingRoom`: nobody waits longer than it makes sense.

A server that is asked for twice of what it can do cannot answer everybody. If it lets all of them
wait, the queue grows until *every* answer is too late: it is busy all the time, and of use to
nobody. If it turns away who has waited in vain for `max_seconds`, those that begin have waited less
than that, and it works at its full speed for users who still want the answer. Waiting requests hold
no block and no row, so whoever is turned away has cost nothing.

It only remembers who came when; it knows no engine, and takes the time from its caller, so that a
pretended clock serves as well. Read next: `driver.py`, which asks it between two steps;
`lessons/clock.py`, which does so with a clock of its own.
"""

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Guest = TypeVar("Guest", bound=Hashable)


class WaitingRoom(Generic[Guest]):
    """Who came when, first comers first.

    Args:
        max_seconds: Whoever has not begun after so long is overdue; None: nobody ever is.
    """

    def __init__(self, max_seconds: float | None = None) -> None:
        self.max_seconds = max_seconds
        self._guests: deque[tuple[float, Guest]] = deque()

    def enter(self, guest: Guest, now: float) -> None:
        """Somebody begins to wait."""
        if self.max_seconds is not None:
            self._guests.append((now + self.max_seconds, guest))

    def overdue(self, now: float) -> Iterator[Guest]:
        """Those whose time is up, each once. They may have begun, or be gone, meanwhile."""
        while self._guests and self._guests[0][0] < now:
            yield self._guests.popleft()[1]
