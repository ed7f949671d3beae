"""What `virtual.py` serves: runs that a clock is fitted to, and others that it has not seen.

Machines differ more than hours do: what fills one leaves another idle. So arrivals are written in
seconds of a CPU on which a decode step of one row takes 1.5 ms; they come faster on a faster one.
On a GPU they come sixteen times as fast, and leave it as busy: a row more costs it little.

Read next: `virtual_runs.py`, which serves them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens, poisson

STEP_AS_WRITTEN = 0.0015
"""Seconds of a decode step of one row, where arrivals come at the times that are written here."""
PACE_OF_A_GPU = 1 / 16
"""So much as far apart do they come on a GPU."""


@dataclass
class Workload:
    """What comes, and the pool that it meets."""

    arrivals: Callable[[], Iterator[Arrival]]
    num_blocks: int = 512


def bursts() -> Iterator[Arrival]:
    """Twelve at once, every second."""
    random = Random(107)
    for second in range(20):
        for _ in range(12):
            prompt = draw_tokens(random, random.randint(20, 120))
            yield Arrival(1.0 * second, prompt, random.randint(10, 40))


def tenants() -> Iterator[Arrival]:
    """Three system messages of 300 tokens, one of them in front of each question."""
    random, now = Random(108), 0.0
    systems = [draw_tokens(random, 300) for _ in range(3)]
    for i in range(250):
        now += random.expovariate(12)
        question = draw_tokens(random, random.randint(5, 40))
        yield Arrival(now, systems[i % 3] + question, random.randint(5, 30))


def heavy_tail() -> Iterator[Arrival]:
    """Most are short, and a few are very long."""
    random, now = Random(109), 0.0
    for _ in range(250):
        now += random.expovariate(8)
        length = min(800, int(10 * random.paretovariate(0.9)))
        answer = min(150, int(5 * random.paretovariate(1.1)))
        yield Arrival(now, draw_tokens(random, length), answer)


def conversations() -> Iterator[Arrival]:
    """Eight people, each of whose questions has all that was said before in front of it."""
    random, now = Random(110), 0.0
    said: list[list[int]] = [[] for _ in range(8)]
    for i in range(160):
        now += random.expovariate(8)
        history = said[i % 8]
        history += draw_tokens(random, random.randint(10, 50))
        yield Arrival(now, list(history), random.randint(5, 40))


HELD_OUT = {
    "steady": Workload(lambda: poisson(8, 250, (10, 150), (6, 24), 101)),
    "crowd": Workload(lambda: poisson(40, 350, (10, 80), (16, 48), 102)),
    "bursts": Workload(bursts),
    "documents": Workload(lambda: poisson(3, 220, (100, 500), (4, 20), 103)),
    "tenants": Workload(tenants),
    "heavy tail": Workload(heavy_tail),
    "conversations": Workload(conversations),
    "memory": Workload(lambda: poisson(45, 250, (20, 90), (30, 70), 104), num_blocks=60),
}
"""None of these is fitted. *memory* has too few blocks: sequences are preempted."""
FITTED = {
    "low": Workload(lambda: poisson(8, 140, (5, 300), (6, 24), 11)),
    "high": Workload(lambda: poisson(30, 400, (5, 100), (20, 70), 12)),
    "long": Workload(lambda: poisson(4, 140, (50, 1000), (5, 20), 13)),
    "middle": Workload(lambda: poisson(20, 300, (10, 150), (10, 45), 14)),
}


def paced(workload: Workload, pace: float) -> Workload:
    """The same requests, so many times as far apart."""

    def arrivals() -> Iterator[Arrival]:
        return (each._replace(at=pace * each.at) for each in workload.arrivals())

    return replace(workload, arrivals=arrivals)


def shortened(workload: Workload, part: int) -> Workload:
    """The first of every so many of its requests."""
    count = max(1, sum(1 for _ in workload.arrivals()) // part)
    return replace(workload, arrivals=lambda: islice(workload.arrivals(), count))
