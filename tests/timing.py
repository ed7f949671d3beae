"""Times that hold on any machine: two pieces of work are compared, none is held against a clock."""

from collections.abc import Callable
from time import thread_time


def times_as_long(slow: Callable[[], object], quick: Callable[[], object]) -> float:
    """Processor time of one piece of work over that of another.

    Each is the fastest of five, taken in turns, so that a busy machine slows both.
    """
    slow_times, quick_times = [], []
    for _ in range(5):
        slow_times.append(_seconds(slow))
        quick_times.append(_seconds(quick))
    return min(slow_times) / min(quick_times)


def _seconds(work: Callable[[], object]) -> float:
    begin = thread_time()
    work()
    return thread_time() - begin
