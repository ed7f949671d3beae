"""What does a step cost outside the device? `plan` + `commit`, records included, per sequence.

    python benchmarks/scheduler.py               # every size, both policies: under a minute
    python benchmarks/scheduler.py --profile     # where the time goes, 256 sequences

The runner is a null one, and its own time is taken out. The pool is full of cached blocks before
the clock starts, so each new block costs an eviction: the engine's everyday state. Decode only: one
token per sequence and step. Figures are CPU time, the median step of the best of several batches,
so that other work on the machine disturbs them little. Results go to
`benchmarks/results/scheduler.md`.
"""

import argparse
import cProfile
import platform
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from host_cost import HostCost, measure_host_cost
from rich.console import Console
from rich.table import Table

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy, SchedulingPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ReadyTicket

BLOCK_SIZE = 16
PROMPT_LENGTH = 16
OUTPUT_LENGTH = 32
NUMS_OF_BLOCKS = (1_000, 10_000, 100_000)
NUMS_OF_SEQUENCES = (1, 32, 256)
POLICIES = (MixedPolicy, PhaseSeparatedPolicy)
TARGET = 1.5
"""Microseconds per sequence and step, with 256 sequences."""
RESULTS = Path(__file__).parent / "results" / "scheduler.md"


class Stopwatch:
    """CPU seconds of each part of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, on the clock."""

        def on_the_clock(*args: Any) -> Any:
            begin = time.thread_time()
            result = function(*args)
            self.seconds[part] = time.thread_time() - begin
            return result

        return on_the_clock


class NullRunner:
    """Computes nothing; every token is 7."""

    block_size, vocab_size, max_model_len = BLOCK_SIZE, 1 << 30, 1 << 20
    eos_token_ids: frozenset[int] = frozenset()

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks

    def launch(self, plan: StepPlan) -> ReadyTicket:
        return ReadyTicket(StepOutput({span.seq_id: (7,) for span in plan.spans.sampled}))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Cost:
    """One setting, in microseconds per sequence and step."""

    num_blocks: int
    num_sequences: int
    policy: str
    plan: float
    commit: float
    total: float
    """The whole `step()`: plan, snapshot, commit and record."""


def full_engine(num_blocks: int, policy: SchedulingPolicy) -> LLMEngine:
    """An engine whose every block is cached and free."""
    config = EngineConfig(
        block_size=BLOCK_SIZE, policy=policy, max_num_seqs=256, max_num_batched_tokens=1 << 20
    )
    llm = LLMEngine(NullRunner(num_blocks), config)  # type: ignore[arg-type]
    longest = min(1000, num_blocks) * BLOCK_SIZE - 1
    for first in range(0, num_blocks * BLOCK_SIZE, longest + 1):
        llm.add_request([first + i for i in range(longest)], SamplingParams(max_tokens=1))
        llm.step()
    return llm


def add_requests(llm: LLMEngine, num_sequences: int) -> None:
    """Adds prompts that nobody has seen before, and computes them."""
    for index in range(num_sequences):
        prompt = [(1 << 29) + index] * PROMPT_LENGTH
        llm.add_request(prompt, SamplingParams(max_tokens=OUTPUT_LENGTH, temperature=0))
    llm.step()


def measure(num_sequences: int, policy: type[SchedulingPolicy], rounds: int) -> list[Cost]:
    """The best batch of each pool size. Sizes take turns, so a slow minute slows them all."""
    meters = [Meter(num_blocks, num_sequences, policy()) for num_blocks in NUMS_OF_BLOCKS]
    batches = [[meter.batch() for meter in meters] for _ in range(rounds)]
    return [min(costs, key=lambda cost: cost.total) for costs in zip(*batches, strict=True)]


class Meter:
    """An engine of one setting, on the clock."""

    def __init__(self, num_blocks: int, num_sequences: int, policy: SchedulingPolicy) -> None:
        self.setting = (num_blocks, num_sequences, type(policy).__name__)
        self.llm, self.clock = full_engine(num_blocks, policy), Stopwatch()
        scheduler, runner = self.llm.scheduler, self.llm.runner
        scheduler.plan = self.clock.timed("plan", scheduler.plan)
        scheduler.commit = self.clock.timed("commit", scheduler.commit)
        runner.launch = self.clock.timed("launch", runner.launch)
        self.step = self.clock.timed("step", self.llm.step)

    def batch(self) -> Cost:
        """The median decode step of one batch."""
        num_sequences, seconds = self.setting[1], self.clock.seconds
        add_requests(self.llm, num_sequences)
        times: dict[str, list[float]] = {"plan": [], "commit": [], "total": []}
        for _ in range(OUTPUT_LENGTH - 2):  # the last one frees everything
            assert len(self.step().spans) == num_sequences
            times["plan"].append(seconds["plan"])
            times["commit"].append(seconds["commit"])
            times["total"].append(seconds["step"] - seconds["launch"])
        self.llm.step()
        medians = {k: statistics.median(v) * 1e6 / num_sequences for k, v in times.items()}
        return Cost(*self.setting, **medians)


def as_table(costs: list[Cost]) -> Table:
    """The figures for a person."""
    table = Table(title="Microseconds per sequence and decode step", title_justify="left")
    for name in ("policy", "sequences", "blocks"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for name in ("plan", "commit", "whole step"):
        table.add_column(name, justify="right")
    for cost in costs:
        row = (cost.policy, str(cost.num_sequences), f"{cost.num_blocks:,}")
        table.add_row(
            *row,
            *(f"{value:.2f}" for value in (cost.plan, cost.commit, cost.total)),
            end_section=cost.num_blocks == NUMS_OF_BLOCKS[-1],
        )
    return table


def verdict(costs: list[Cost]) -> str:
    """Is it flat in the number of blocks, and is it fast enough?"""
    many = [cost for cost in costs if cost.num_sequences == NUMS_OF_SEQUENCES[-1]]
    worst = max(cost.total for cost in many)
    ratios = [
        max(c.total for c in group) / min(c.total for c in group)
        for policy in POLICIES
        if (group := [c for c in many if c.policy == policy.__name__])
    ]
    return (
        f"With {NUMS_OF_SEQUENCES[-1]} sequences at most {worst:.2f} microseconds per sequence and "
        f"step (target {TARGET:g}); slowest pool against fastest: {max(ratios):.2f}x."
    )


def host_cost_lines(costs: list[HostCost]) -> list[str]:
    """Prompts and kept records, before and after, as a Markdown table."""
    rows = [f"| {c.what} | {c.before:,.1f} {c.unit} | {c.value:,.1f} {c.unit} |" for c in costs]
    return [
        "",
        "## Prompts and kept records",
        "",
        "256 sequences, blocks of 256 tokens, null runner (`benchmarks/host_cost.py`). Before:",
        "commit a02ba91, on the same machine.",
        "",
        "| what | before | now |",
        "|---|---:|---:|",
        *rows,
    ]


def as_markdown(costs: list[Cost], host: list[HostCost], command: str) -> str:
    """The figures for the record."""
    lines = [
        "# What a step costs outside the device",
        "",
        verdict(costs),
        "",
        "Microseconds of CPU time per sequence and decode step, null runner. The pool is full of",
        "cached blocks: each new one is an eviction. The whole step includes its `StepRecord`.",
        "",
        "| policy | sequences | blocks | plan | commit | whole step |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for c in costs:
        lines.append(
            f"| {c.policy} | {c.num_sequences} | {c.num_blocks:,} | {c.plan:.2f} | "
            f"{c.commit:.2f} | {c.total:.2f} |"
        )
    machine = f"Python {platform.python_version()}, xxhash {version('xxhash')}, {processor()}"
    lines += host_cost_lines(host)
    return "\n".join([*lines, "", f"{date.today()}, {machine}. Command: `{command}`.", ""])


def processor() -> str:
    """The name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def profile(num_sequences: int = 256) -> None:
    """Prints where the time of decode steps goes."""
    llm = full_engine(10_000, MixedPolicy())
    add_requests(llm, num_sequences)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(OUTPUT_LENGTH - 2):
        llm.step()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(20)


def main() -> None:
    """Measures every setting, prints a table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=20, help="batches per setting")
    parser.add_argument("--profile", action="store_true", help="profile instead of measuring")
    options = parser.parse_args()
    if options.profile:
        return profile()
    costs = [
        cost
        for policy in POLICIES
        for num_sequences in NUMS_OF_SEQUENCES
        for cost in measure(num_sequences, policy, options.rounds)
    ]
    host = list(measure_host_cost())
    console = Console()
    console.print(as_table(costs))
    console.print(verdict(costs))
    for cost in host:
        console.print(f"{cost.what}: {cost.value:,.1f} {cost.unit} (before {cost.before:,.1f})")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(as_markdown(costs, host, f"python benchmarks/{Path(sys.argv[0]).name}"))


if __name__ == "__main__":
    main()
