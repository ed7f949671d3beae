"""Does the virtual clock tell the time? Real runs on this CPU against their predictions.

    python benchmarks/virtual.py            # fits, predicts, plots: about ten minutes
    python benchmarks/virtual.py --ship     # and stores the calibration that the package brings
    python benchmarks/virtual.py --quick    # a tenth of the requests, nothing stored: does it work?

The model in the box serves seven workloads that the fit has not seen, and four that it is fitted
to, each three times. All runs take turns by clocks that count a run's own CPU seconds, and whoever
has answered the smallest part of its requests is next: they all last as long. Python's garbage
collector waits until the end: it would stop one run for what all have left.

A machine that is shared is not always as fast: the same step may take twice as long a second
later. No model of a step's work can know that. So a *metronome*, an engine that does nothing but
decode one row, takes a step before each of theirs, whose seconds are counted as if that had taken
what it took on average at the start. Fitted runs and held-out runs are measured alike.

Machines differ more than hours do: what fills one leaves another idle. So arrivals are written in
seconds of a machine on which a decode step of one row takes 1.5 ms; they come faster on a faster
one.

A figure is the median of the three copies; what is predicted is the median of nine virtual runs
with other disturbances. How well a copy predicts the other two says what can be
expected of a model.

Results go to `benchmarks/results/virtual.md` and `virtual.svg`.
"""

import argparse
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import NamedTuple

import torch
from matplotlib import pyplot

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens, poisson
from nanovllm_edu.virtual.calibration import SHIPPED, Calibration, save
from nanovllm_edu.virtual.clock import HostClock
from nanovllm_edu.virtual.fit import fit
from nanovllm_edu.virtual.irregular import IrregularRunner
from nanovllm_edu.virtual.runner import twin_of
from nanovllm_edu.virtual.serving import Server, serve, turns
from nanovllm_edu.virtual.summary import Summary

RESULTS = Path(__file__).parent / "results"
COPIES = 3
"""Of each run."""
VIRTUAL_RUNS = 9
NEWEST = 3
"""Steps of the metronome that say how fast the machine is now: it changes within hundredths of a
second, and with more of them what is measured is more irregular again."""
TURN = 40
"""Steps that a run takes before another one: it finds its own things in the processor's caches."""
STEP_AS_WRITTEN = 0.0015
"""Seconds of a decode step of one row, where arrivals come at the times that are written here."""
Arrivals = Callable[[], Iterator[Arrival]]


@dataclass
class Workload:
    """What comes, and the pool that it meets."""

    what: str
    arrivals: Arrivals
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


HELD_OUT = {
    "steady": Workload("8 a second", lambda: poisson(8, 250, (10, 150), (6, 24), 101)),
    "crowd": Workload("40 a second", lambda: poisson(40, 350, (10, 80), (16, 48), 102)),
    "bursts": Workload("12 at once, every second", bursts),
    "documents": Workload("long in, short out", lambda: poisson(3, 220, (100, 500), (4, 20), 103)),
    "tenants": Workload("three long system messages", tenants),
    "heavy tail": Workload("most short, some very long", heavy_tail),
    "memory": Workload(
        "too few blocks: preemption", lambda: poisson(45, 250, (20, 90), (30, 70), 104), 60
    ),
}
FITTED = [
    Workload("low", lambda: poisson(8, 140, (5, 300), (6, 24), 11)),
    Workload("high", lambda: poisson(30, 400, (5, 100), (20, 70), 12)),
    Workload("long", lambda: poisson(4, 140, (50, 1000), (5, 20), 13)),
    Workload("middle", lambda: poisson(20, 300, (10, 150), (10, 45), 14)),
]


class Metronome:
    """Decode steps of one row, one like the other: how fast is the machine at this moment?

    Attributes:
        seconds: Of each step.
        usual: What a step takes, on average, before the runs begin.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self.engine = engine
        self.seconds: list[float] = []
        for _ in range(200):
            self.tick()
        self.usual = mean(self.seconds)
        self.seconds.clear()

    def tick(self) -> None:
        """Takes two steps: the first finds in the caches what another engine has left there."""
        if len(self.engine.scheduler.running) == 0:
            params = SamplingParams(temperature=0, max_tokens=65, ignore_eos=True)
            self.engine.add_requests([([1] * 16, params)])
            self.engine.step()  # the prompt
        self.engine.step()
        begin = time.thread_time()
        self.engine.step()
        self.seconds.append(time.thread_time() - begin)

    @property
    def speed(self) -> float:
        """Of the machine now, as a multiple of the usual one."""
        return self.usual / mean(self.seconds[-NEWEST:])


@dataclass
class Run:
    """A real run on its way."""

    engine: LLMEngine
    workload: Workload
    is_recorded: bool = False
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.speed = 1.0
        self.clock = self.engine.clock = HostClock(lambda: self.speed * time.thread_time())
        server = Server(self.engine)
        self.recorder = server.recorder = Recorder(self.engine) if self.is_recorded else None
        self._turns = turns(server, self.workload.arrivals())
        self._now, self.is_over, self.num_preempted = 0.0, False, 0
        self._num_requests = sum(1 for _ in self.workload.arrivals())

    @property
    def progress(self) -> float:
        """The part of its requests that it has answered."""
        return self.summary.num_answers / self._num_requests

    def step(self, speed: float) -> None:
        """One step, by its own clock, on a machine that is so fast at the moment."""
        self.speed = speed
        self.clock.resume_at(self._now)
        answers = next(self._turns, None)
        self._now = self.clock()
        self.is_over = answers is None
        if record := self.engine.newest_record:
            self.num_preempted += len(record.preempted)
        for answer in answers or ():
            self.summary.add(answer)


def warm_up(engine: LLMEngine) -> None:
    """Touches every block and takes a step of each number of rows.

    No run pays for memory that is given, and tapes that are recorded, when they are first used.
    """
    clock, engine.clock = engine.clock, HostClock()
    tokens = max(16, engine.runner.num_blocks * engine.runner.block_size // 8 - 16)
    prompts = [[1 + i] * min(tokens, 1000) for i in range(8)]
    rows = min(engine.config.max_num_seqs, engine.runner.num_blocks // 4)
    touching = [Arrival(0.0, prompt, 2) for prompt in prompts]
    ending_one_by_one = [Arrival(0.0, [1], 2 + i % 48) for i in range(rows)]
    for requests in (touching, ending_one_by_one):
        for _ in serve(Server(engine), requests):
            pass
    engine.scheduler.block_manager.reset_prefix_cache()
    engine.clock = clock


def paced(workload: Workload, pace: float) -> Workload:
    """The same requests, so many times as far apart."""

    def arrivals() -> Iterator[Arrival]:
        return (each._replace(at=pace * each.at) for each in workload.arrivals())

    return replace(workload, arrivals=arrivals)


def shortened(workload: Workload, part: int) -> Workload:
    """The first of every so many of its requests."""
    count = max(1, sum(1 for _ in workload.arrivals()) // part)
    return replace(workload, arrivals=lambda: islice(workload.arrivals(), count))


def measure(llm: LLM, part: int) -> tuple[Calibration, dict[str, list[Run]], Metronome]:
    """Fits to some runs and serves the others, all at the same time."""

    metronome = Metronome(llm.engine.fork(num_blocks=16))

    def run(workload: Workload, is_recorded: bool = False) -> Run:
        workload = paced(shortened(workload, part), metronome.usual / STEP_AS_WRITTEN)
        engine = llm.engine.fork(num_blocks=workload.num_blocks)
        warm_up(engine)
        return Run(engine, workload, is_recorded)

    fitted = [run(workload, True) for workload in FITTED for _ in range(COPIES)]
    held_out = {name: [run(each) for _ in range(COPIES)] for name, each in HELD_OUT.items()}
    unfinished = fitted + [run for copies in held_out.values() for run in copies]
    gc.collect()
    gc.disable()
    while unfinished:
        next_one = min(unfinished, key=lambda run: run.progress)
        for _ in range(TURN):
            metronome.tick()
            next_one.step(metronome.speed)
            if next_one.is_over:
                unfinished.remove(next_one)
                break
    gc.enable()
    source = (
        "benchmarks/virtual.py: four workloads of the model in the box, CPU seconds of one thread "
        "on a machine of even speed"
    )
    recordings = [each.recorder.recording for each in fitted if each.recorder is not None]
    return fit(recordings, source=source), held_out, metronome


def predict(llm: LLM, workload: Workload, calibration: Calibration, seed: int) -> Summary:
    """The same requests on a virtual clock."""
    real = llm.engine.fork(num_blocks=workload.num_blocks)
    engine = twin_of(real, calibration, partial(IrregularRunner, seed=seed))
    return Summary.of(serve(Server(engine), workload.arrivals()))


FIGURES: dict[str, tuple[str, Callable[[Summary], float], float]] = {
    "mean time per token": ("ms", lambda s: 1e3 * s.mean_tpot, 0.02),
    "p99 TTFT": ("ms", lambda s: 1e3 * s.ttft(0.99), 0.08),
    "throughput": ("tokens/s", lambda s: s.tokens_per_second, 0.02),
}
"""Name -> unit, how to read it, and the goal."""


class Row(NamedTuple):
    """One figure of one workload: of each copy, and of each virtual run."""

    workload: str
    figure: str
    copies: list[float]
    virtual: list[float]

    @property
    def measured(self) -> float:
        """The median of the copies."""
        return median(self.copies)

    @property
    def predicted(self) -> float:
        """The median of the virtual runs."""
        return median(self.virtual)

    @property
    def error(self) -> float:
        """As a fraction."""
        return self.predicted / self.measured - 1

    @property
    def errors_among_copies(self) -> list[float]:
        """Of each copy, if it is taken as the prediction of the others."""
        others = [median(self.copies[:i] + self.copies[i + 1 :]) for i in range(len(self.copies))]
        return [copy / other - 1 for copy, other in zip(self.copies, others, strict=True)]


def rows_of(llm: LLM, calibration: Calibration, runs: dict[str, list[Run]]) -> Iterator[Row]:
    """Every figure of every workload."""
    for name, copies in runs.items():
        workload = copies[0].workload
        virtual = [predict(llm, workload, calibration, seed) for seed in range(VIRTUAL_RUNS)]
        for figure, (_, read, _) in FIGURES.items():
            measured = [read(copy.summary) for copy in copies]
            yield Row(name, figure, measured, [read(summary) for summary in virtual])


def middle_of(values: Iterable[float]) -> tuple[float, float]:
    """Between which two values nine of ten lie."""
    ranked = sorted(values)
    return ranked[len(ranked) // 20], ranked[-len(ranked) // 20]


def as_markdown(
    calibration: Calibration, rows: list[Row], runs: dict[str, list[Run]], metronome: Metronome
) -> str:
    """What was measured, what was predicted, and how far apart they are."""
    low, high = middle_of(calibration.spread)
    quick, slow = middle_of(metronome.seconds)
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        "# The virtual clock against a real one", "",
        f"{calibration.model} on {calibration.device_name}, {calibration.date}, one thread, CPU",
        f"seconds; load {load} on two cores. Command: `python benchmarks/virtual.py --ship`.",
        "", "```text", repr(calibration), "```", "",
        f"So even was the machine: nine of ten steps of the metronome took {1e3 * quick:.1f} to",
        f"{1e3 * slow:.1f} ms. All seconds here are those of an even one, on which each takes",
        f"{1e3 * metronome.usual:.1f} ms. There, nine of ten steps that were fitted took",
        f"{low:+.0%} to {high:+.0%} more than predicted.", "",
        "None of these runs was fitted. Measured is the median of three copies, served in the same",
        "minutes, and predicted that of nine virtual runs. *Itself*: the copy that is farthest",
        "from the other two was off by so much.", "",
        "| workload | figure | measured | predicted | error | goal | itself |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in rows:
        unit, _, goal = FIGURES[row.figure]
        itself = max(map(abs, row.errors_among_copies))
        lines.append(
            f"| {row.workload} | {row.figure} | {row.measured:,.2f} {unit} | "
            f"{row.predicted:,.2f} {unit} | {row.error:+.1%} | {goal:.0%} | {itself:.1%} |"
        )
    lines += [
        "", "A copy, as a prediction of the other two, beside the model:", "",
        "| figure | goal | model: mean error | largest | within | copy: mean error | largest "
        "| within |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for figure, (_, _, goal) in FIGURES.items():
        found = [row for row in rows if row.figure == figure]
        of_model = [row.error for row in found]
        of_copies = [error for row in found for error in row.errors_among_copies]
        sides = " | ".join(_errors(errors, goal) for errors in (of_model, of_copies))
        lines.append(f"| {figure} | {goal:.0%} | {sides} |")
    preempted = runs["memory"][0].num_preempted
    lines += ["", f"In *memory* {preempted} sequences were preempted.", ""]
    return "\n".join([*lines, "![Predicted against measured](virtual.svg)", ""])


def _errors(errors: list[float], goal: float) -> str:
    """Their mean, the largest, and how many keep to the goal, as cells."""
    sizes = [abs(error) for error in errors]
    within = sum(size <= goal for size in sizes)
    return f"{sum(sizes) / len(sizes):.1%} | {max(sizes):.1%} | {within} of {len(sizes)}"


def plot(rows: list[Row], path: Path) -> None:
    """A panel for each figure: each workload as wide as its copies, and where all should be."""
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(11, 3.8), layout="constrained")
    for panel, (name, (unit, _, _)) in zip(panels, FIGURES.items(), strict=True):
        found = [row for row in rows if row.figure == name]
        ends = [0.8 * min(r.measured for r in found), 1.2 * max(r.measured for r in found)]
        panel.plot(ends, ends, color="0.6", linewidth=1)
        for row in found:
            spread = [[row.measured - min(row.copies)], [max(row.copies) - row.measured]]
            panel.errorbar(row.measured, row.predicted, xerr=spread, fmt="o", markersize=5)
            panel.annotate(row.workload, (row.measured, row.predicted), fontsize=7,
                           xytext=(4, -8), textcoords="offset points")  # fmt: skip
        panel.set(title=name, xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}")
        if ends[1] > 8 * ends[0]:
            panel.set(xscale="log", yscale="log")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ship", action="store_true", help="store the calibration as the package's"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of it, and store nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with LLM(device="cpu", num_blocks=512, max_num_seqs=64) as llm:
        calibration, runs, metronome = measure(llm, 10 if arguments.quick else 1)
        rows = list(rows_of(llm, calibration, runs))
    text = as_markdown(calibration, rows, runs, metronome)
    print(text)
    if arguments.quick:
        return
    if arguments.ship:
        save(calibration, SHIPPED / "cpu.json")
    (RESULTS / "virtual.md").write_text(text)
    plot(rows, RESULTS / "virtual.svg")


if __name__ == "__main__":
    main()
