"""Does the virtual clock tell the time? Real runs on this CPU against their predictions.

    python benchmarks/virtual.py            # fits, predicts, plots: some minutes
    python benchmarks/virtual.py --ship     # and stores the calibration that the package brings

The model in the box serves seven workloads that the fit has not seen, each twice, and three that it
is fitted to. All runs take turns, a step of each, by clocks that count a run's own CPU seconds: a
slow minute of the machine is then the same for all of them. The second copy of a run says how well
a run predicts *itself*; no model can be expected to do better.

Results go to `benchmarks/results/virtual.md` and `virtual.svg`.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from nanovllm_edu import LLM
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.virtual import arrivals as drawn
from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens, poisson
from nanovllm_edu.virtual.calibration import Calibration
from nanovllm_edu.virtual.clock import HostClock
from nanovllm_edu.virtual.fit import fit
from nanovllm_edu.virtual.runner import twin_of
from nanovllm_edu.virtual.serving import Server, serve, turns
from nanovllm_edu.virtual.summary import Summary

RESULTS = Path(__file__).parent / "results"
Arrivals = Callable[[], Iterator[Arrival]]


@dataclass
class Workload:
    """What comes, and the pool that it meets."""

    what: str
    arrivals: Arrivals
    num_blocks: int = 512


def bursts() -> Iterator[Arrival]:
    """Ten at once, every four seconds."""
    random = Random(7)
    for burst in range(6):
        for _ in range(10):
            yield Arrival(4.0 * burst, draw_tokens(random, random.randint(20, 120)), 30)


def tenants() -> Iterator[Arrival]:
    """Three system messages of 300 tokens, one of them in front of each question."""
    random, now = Random(8), 0.0
    systems = [draw_tokens(random, 300) for _ in range(3)]
    for i in range(60):
        now += random.expovariate(4)
        question = draw_tokens(random, random.randint(5, 40))
        yield Arrival(now, systems[i % 3] + question, random.randint(10, 40))


def heavy_tail() -> Iterator[Arrival]:
    """Most are short, and a few are very long."""
    random, now = Random(9), 0.0
    for _ in range(60):
        now += random.expovariate(2.5)
        length = min(800, int(10 * random.paretovariate(0.9)))
        answer = min(200, int(8 * random.paretovariate(1.1)))
        yield Arrival(now, draw_tokens(random, length), answer)


HELD_OUT = {
    "steady": Workload("2.5 a second", lambda: poisson(2.5, 50, (10, 150), (20, 60), 1)),
    "crowd": Workload("8 a second", lambda: poisson(8, 80, (10, 80), (40, 90), 2)),
    "bursts": Workload("10 at once, every 4 s", bursts),
    "documents": Workload("long in, short out", lambda: poisson(1, 30, (200, 900), (5, 25), 3)),
    "tenants": Workload("shared system messages", tenants),
    "heavy tail": Workload("most short, some long", heavy_tail),
    "memory": Workload(
        "too few blocks: preemption", lambda: poisson(12, 60, (20, 90), (60, 120), 4), 60
    ),
}
FITTED = [
    Workload("low", lambda: poisson(1.5, 45, (5, 300), (15, 70), 11)),
    Workload("high", lambda: poisson(20, 120, (5, 100), (20, 120), 12)),
    Workload("long", lambda: poisson(1.5, 40, (50, 1000), (10, 60), 13)),
]


@dataclass
class Run:
    """A real run on its way."""

    engine: LLMEngine
    workload: Workload
    is_recorded: bool = False
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.clock = self.engine.clock = HostClock(time.thread_time)
        server = Server(self.engine)
        self.recorder = server.recorder = Recorder(self.engine) if self.is_recorded else None
        self._turns = turns(server, self.workload.arrivals())
        self._now, self.is_over, self.num_preempted = 0.0, False, 0

    def take_turn(self) -> None:
        """One step, by its own clock."""
        self.clock.resume_at(self._now)
        answers = next(self._turns, None)
        self._now = self.clock()
        self.is_over = answers is None
        if record := self.engine.newest_record:
            self.num_preempted += len(record.preempted)
        for answer in answers or ():
            self.summary.add(answer)


def measure(llm: LLM) -> tuple[Calibration, dict[str, list[Run]]]:
    """Fits to some runs and serves the others, all at the same time."""
    drawn.VOCABULARY = llm.engine.runner.vocab_size

    def run(workload: Workload, is_recorded: bool = False) -> Run:
        return Run(llm.engine.fork(num_blocks=workload.num_blocks), workload, is_recorded)

    fitted = [run(workload, True) for workload in FITTED]
    held_out = {name: [run(w), run(w)] for name, w in HELD_OUT.items()}
    unfinished = fitted + [run for pair in held_out.values() for run in pair]
    while unfinished:
        for each in unfinished:
            each.take_turn()
        unfinished = [each for each in unfinished if not each.is_over]
    source = "benchmarks/virtual.py: three workloads of the model in the box, CPU seconds, 1 thread"
    recordings = [each.recorder.recording for each in fitted if each.recorder is not None]
    return fit(recordings, source=source), held_out


def predict(llm: LLM, workload: Workload, calibration: Calibration) -> Summary:
    """The same requests on a virtual clock."""
    engine = twin_of(llm.engine.fork(num_blocks=workload.num_blocks), calibration)
    return Summary.of(serve(Server(engine), workload.arrivals()))


FIGURES: dict[str, tuple[str, Callable[[Summary], float], float]] = {
    "mean time per token": ("ms", lambda s: 1e3 * s.mean_tpot, 0.02),
    "p99 TTFT": ("ms", lambda s: 1e3 * s.ttft(0.99), 0.08),
    "throughput": ("tokens/s", lambda s: s.tokens_per_second, 0.02),
}
"""Name -> unit, how to read it, and the goal."""


def rows_of(llm: LLM, calibration: Calibration, runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """One of each workload and figure."""
    rows: list[dict[str, Any]] = []
    for name, (first, second) in runs.items():
        predicted = predict(llm, first.workload, calibration)
        for figure, (unit, read, _) in FIGURES.items():
            once, twice, guess = read(first.summary), read(second.summary), read(predicted)
            measured = (once + twice) / 2
            rows.append(
                {
                    "workload": name,
                    "figure": figure,
                    "unit": unit,
                    "measured": measured,
                    "predicted": guess,
                    "error": guess / measured - 1,
                    "itself": abs(once - twice) / measured,
                    "preempted": first.num_preempted,
                }
            )
    return rows


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    llm = LLM(device="cpu", num_blocks=512, max_num_seqs=64)
    load = os.getloadavg()
    begin = time.time()
    cal, runs = measure(llm)
    print(cal, time.time() - begin, load, os.getloadavg())
    for row in rows_of(llm, cal, runs):
        print(
            row["workload"],
            row["figure"],
            *(f"{row[k]:.3f}" for k in ("measured", "predicted", "error", "itself")),
            row["preempted"],
        )
