"""Clocks: what time it is for an engine, and how it passes while nobody is there.

    VirtualClock   time passes only when somebody says so
    HostClock      the process's own time, in which hours without work are skipped

Both are called for the time in seconds, as `time.perf_counter` is. With the CPU time of a thread
(`HostClock(time.thread_time)`) a busy machine disturbs a measurement less.

Read next: `serving.py`, which serves requests by either of them.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Protocol


class Clock(Protocol):
    """Tells the time, and can be put forward."""

    def __call__(self) -> float:
        """Seconds."""
        ...

    def skip_to(self, seconds: float) -> None:
        """Nothing happens until then. A time that has passed changes nothing."""
        ...


class VirtualClock:
    """Seconds since the beginning of a pretended world.

    Attributes:
        now: The time.
    """

    __slots__ = ("now",)

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def skip_to(self, seconds: float) -> None:
        """Puts it forward."""
        self.now = max(self.now, seconds)


class HostClock:
    """Seconds since it was made, by a clock of the process.

    Args:
        source: `time.perf_counter`, or `time.thread_time` for what this thread computed.
    """

    __slots__ = ("_begin", "_source")

    def __init__(self, source: Callable[[], float] = perf_counter) -> None:
        self._source, self._begin = source, source()

    def __call__(self) -> float:
        return self._source() - self._begin

    def skip_to(self, seconds: float) -> None:
        """Pretends that it waited."""
        self._begin -= max(0.0, seconds - self())

    def resume_at(self, seconds: float) -> None:
        """Goes on from there: what has happened since is not of its time."""
        self._begin = self._source() - seconds
