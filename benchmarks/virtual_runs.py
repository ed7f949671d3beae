"""Rounds of real runs, of which each is kept: only this part of `virtual.py` needs a quiet machine.

On a GPU, which nobody shares, a round serves one workload after the other, by the wall clock.

On a CPU, all workloads are served in turns, by clocks that count a run's own CPU seconds. Whoever
has answered the smallest part of its requests is next: all last as long. Python's garbage collector
waits until the end: it would stop one run for what all have left.

A machine that is shared is not always as fast: the same step may take twice as long a second
later. No model of a step's work can know that. So a *metronome*, an engine that does nothing but
decode one row, takes some steps before each turn, and seconds are counted as if those had taken
what they took on average at the start. Fitted runs and held-out runs are measured alike.

(It took a step before each of theirs, until we saw that such a step takes 6% longer behind many
rows than behind few: it measured what the run before it had left in the processor's caches, too.
The first steps of a few in a row find that, and do not count.)

A round's folder holds a recording of each run, and `round.json` what its users waited.

Read next: `virtual_page.py`, what is made of them.
"""

import gc
import json
import os
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from virtual_workloads import (
    FITTED,
    HELD_OUT,
    PACE_OF_A_GPU,
    STEP_AS_WRITTEN,
    Workload,
    paced,
    shortened,
)

from nanovllm_edu import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder, Recording, load, save
from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.clock import HostClock
from nanovllm_edu.virtual.measure import play_every_tape
from nanovllm_edu.virtual.serving import Server, serve, turns
from nanovllm_edu.virtual.summary import Summary

WARMING, COUNTED = 4, 8
"""Steps of the metronome in front of a turn: those that fill the caches, and those that count."""
NEWEST = 3
"""Turns whose steps of the metronome say how fast the machine is now."""
TURN = 40
"""Steps that a run takes before another one: it finds its own things in the processor's caches."""


class Metronome:
    """Decode steps of one row, one like the other: how fast is the machine at this moment?

    Args:
        engine: That nobody else uses.
        usual: What a step took when the first round began; None measures it.

    Attributes:
        seconds: Of each step.
        usual: What a step takes, on average, before the runs begin.
    """

    def __init__(self, engine: LLMEngine, usual: float | None = None) -> None:
        self.engine = engine
        self.seconds: list[float] = []
        for _ in range(20):
            self.tick()
        self.usual = usual or mean(self.seconds)
        self.seconds.clear()

    def tick(self) -> None:
        """Takes some steps, of which the first find what another engine has left in the caches."""
        if len(self.engine.scheduler.running) == 0:
            params = SamplingParams(temperature=0, max_tokens=61, ignore_eos=True)
            self.engine.add_requests([([1] * 16, params)])
            self.engine.step()  # the prompt
        for _ in range(WARMING):
            self.engine.step()
        for _ in range(COUNTED):
            begin = time.thread_time()
            self.engine.step()
            self.seconds.append(time.thread_time() - begin)

    @property
    def speed(self) -> float:
        """Of the machine now, as a multiple of the usual one."""
        return self.usual / mean(self.seconds[-NEWEST * COUNTED :])


@dataclass
class Run:
    """A real run on its way."""

    engine: LLMEngine
    workload: Workload
    source: Callable[[], float] = time.thread_time
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.speed = 1.0
        self.clock = self.engine.clock = HostClock(lambda: self.speed * self.source())
        server = Server(self.engine)
        self.recorder = server.recorder = Recorder(self.engine)
        self._turns = turns(server, self.workload.arrivals())
        self._now, self.is_over = 0.0, False
        self._num_requests = sum(1 for _ in self.workload.arrivals())

    @property
    def progress(self) -> float:
        """The part of its requests that it has answered."""
        return self.summary.num_answers / self._num_requests

    def step(self, speed: float = 1.0) -> None:
        """One step, by its own clock, on a machine that is so fast at the moment."""
        self.speed = speed
        self.clock.resume_at(self._now)
        answers = next(self._turns, None)
        self._now = self.clock()
        self.is_over = answers is None
        for answer in answers or ():
            self.summary.add(answer)


@dataclass
class Round:
    """What is kept of one: the machine's load, the metronome (on a CPU), and what each run was."""

    load: float
    usual: float | None
    ticks: list[float]
    recordings: dict[str, Recording]
    summaries: dict[str, Summary]


def warm_up(engine: LLMEngine) -> None:
    """Touches every block, takes a step of each size, and a long one.

    No run pays for memory that is given, and tapes that are recorded, when they are first used.
    """
    clock, engine.clock = engine.clock, HostClock()
    tokens = engine.runner.num_blocks * engine.runner.block_size
    prompt = min(1000, tokens // 2)
    for first in range(0, tokens - prompt, prompt):
        for _ in serve(Server(engine), [Arrival(0.0, [1 + first % 251] * prompt, 2)]):
            pass
    play_every_tape(engine)
    engine.scheduler.block_manager.reset_prefix_cache()
    engine.clock = clock


def paced_workloads(usual: float | None, part: int) -> dict[str, Workload]:
    """All of them.

    Args:
        usual: Seconds that this CPU takes for a step of one row; None: it is a GPU.
        part: The first of every so many requests are enough.
    """
    pace = usual / STEP_AS_WRITTEN if usual else PACE_OF_A_GPU
    return {
        name: paced(shortened(workload, part), pace)
        for name, workload in (FITTED | HELD_OUT).items()
    }


def measure_on_cpu(engine: LLMEngine, usual: float | None, part: int) -> Round:
    """A round on a CPU: serves every workload once, in turns."""
    metronome = Metronome(engine.fork(num_blocks=16), usual)
    runs: dict[str, Run] = {}
    for name, workload in paced_workloads(metronome.usual, part).items():
        twin = engine.fork(num_blocks=workload.num_blocks)
        warm_up(twin)
        runs[name] = Run(twin, workload)
    unfinished = [*runs.values()]
    gc.collect()
    gc.disable()
    while unfinished:
        next_one = min(unfinished, key=lambda run: run.progress)
        metronome.tick()
        for _ in range(TURN):
            next_one.step(metronome.speed)
            if next_one.is_over:
                unfinished.remove(next_one)
                break
    gc.enable()
    return _round_of(runs, metronome.usual, metronome.seconds)


def measure_on_gpu(engine: LLMEngine, _usual: float | None, part: int) -> Round:
    """A round on a GPU, whose speed needs no metronome: serves the workloads one by one."""
    runs: dict[str, Run] = {}
    twins: dict[int, LLMEngine] = {}
    for name, workload in paced_workloads(None, part).items():
        if (twin := twins.get(workload.num_blocks)) is None:
            twin = twins[workload.num_blocks] = engine.fork(num_blocks=workload.num_blocks)
            warm_up(twin)
        twin.scheduler.block_manager.reset_prefix_cache()
        run = runs[name] = Run(twin, workload, time.perf_counter)
        gc.collect()
        gc.disable()
        while not run.is_over:
            run.step()
        gc.enable()
    for twin in twins.values():
        twin.close()
    return _round_of(runs, None, [])


def _round_of(runs: dict[str, Run], usual: float | None, ticks: list[float]) -> Round:
    return Round(
        os.getloadavg()[0],
        usual,
        ticks,
        {name: run.recorder.recording for name, run in runs.items()},
        {name: run.summary for name, run in runs.items()},
    )


def keep(found: Round, folder: Path) -> None:
    """Writes a round; `round.json` comes last, and says that all of it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, recording in found.recordings.items():
        save(recording, folder / f"{name}.json.gz")
    summaries = {
        name: {"ttfts": [*summary.ttfts], "tpots": [*summary.tpots],
               "num_tokens": summary.num_tokens, "begin": summary.begin, "end": summary.end}
        for name, summary in found.summaries.items()
    }  # fmt: skip
    document = {
        "load": found.load,
        "usual": found.usual,
        "ticks": found.ticks,
        "summaries": summaries,
    }
    (folder / "round.json").write_text(json.dumps(document))


def kept(folder: Path) -> Round:
    """Reads what `keep` wrote."""
    document = json.loads((folder / "round.json").read_text())
    summaries = {
        name: Summary(array("d", values.pop("ttfts")), array("d", values.pop("tpots")), **values)
        for name, values in document["summaries"].items()
    }
    recordings = {name: load(folder / f"{name}.json.gz") for name in summaries}
    return Round(**document | {"recordings": recordings, "summaries": summaries})


def rounds(measure_one: Callable[[float | None], Round], folder: Path, count: int) -> list[Round]:
    """So many rounds: those that the folder holds, and the others measured now.

    Args:
        measure_one: Measures one; it is told what the metronome of the first one found usual.
        folder: Keeps them.
        count: How many there are to be.
    """
    found: list[Round] = []
    for number in range(count):
        place = folder / f"round-{number}"
        if not (place / "round.json").exists():
            keep(measure_one(found[0].usual if found else None), place)
        found.append(kept(place))
    return found
