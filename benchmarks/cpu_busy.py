"""Does the engine keep its speed where other programs run too?

    python benchmarks/cpu.py --busy 0     # alone; 1: beside one process that never rests; and so on

The model in the box generates with the default options, and beside it, each in a process of its
own, with what a user might set by hand: one thread, two, and two that wait passively. Rounds are
interleaved, so that whatever else the machine does slows everybody. A figure is the median of the
rounds; a ratio is taken within a round, to the setting whose median is the best, and is the median
of the rounds too.

`--against FOLDER` adds the same settings with another checkout of the package. Each run is added to
`results/cpu_busy.md`, unless it is `--quick`.

Run as a child (`--child`), it answers one line of JSON to each line that it reads.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

Figures = dict[str, float]

SETTINGS = {
    "defaults": {},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
    "OMP_NUM_THREADS=2": {"OMP_NUM_THREADS": "2"},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
}
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")

WORK = {
    "batch 1, ms a step": (1, 16, 64),
    "batch 8, ms a step": (8, 16, 64),
    "prompts of 4 x 500, ms": (4, 500, 1),
}
"""Requests, tokens of a prompt, tokens to generate: each figure is a time over the last of them."""

GOAL = 1.3
"""The defaults may take so much longer than the best of the others."""


def measure() -> Figures:
    """Milliseconds for each kind of work, in this process."""
    from nanovllm_edu import LLM, SamplingParams

    global _llm
    _llm = _llm or LLM(device="cpu")
    figures = {}
    for name, (num_prompts, length, num_new) in WORK.items():
        prompts = [
            [300 + (37 * i + 11 * j) % 2000 for j in range(length)] for i in range(num_prompts)
        ]
        _llm.engine.scheduler.block_manager.reset_prefix_cache()
        params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=num_new)
        begin = perf_counter()
        _llm.generate(prompts, params, use_tqdm=False)
        figures[name] = (perf_counter() - begin) * 1000 / num_new
    return figures


_llm = None


def serve() -> None:
    """Measures once for each line that is read."""
    for _ in sys.stdin:
        print(json.dumps(measure()), flush=True)


class Contestant:
    """A process with a setting of its own, which is idle until it is asked."""

    def __init__(self, name: str, variables: dict[str, str], package: Path) -> None:
        self.name, self.rounds = name, []
        clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child"],
            env=clean | variables | {"PYTHONPATH": str(package)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self) -> Figures:
        """One round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


def contest(num_busy: int, num_rounds: int, against: Path | None) -> str:
    """The table, in Markdown."""
    here = Path(__file__).parents[1]
    packages = {"": here} | ({f"{against.name}: ": against} if against else {})
    with ExitStack() as stack:
        contestants = []
        for prefix, package in packages.items():
            for name, variables in SETTINGS.items():
                contestants.append(Contestant(prefix + name, variables, package))
                stack.callback(contestants[-1].close)
        for contestant in contestants:
            contestant.measure()  # loads, compiles, warms up
        for _ in range(num_busy):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        loads = []
        for number in range(num_rounds):
            loads.append(os.getloadavg()[0])
            first = number % len(contestants)  # nobody comes always after the same neighbour
            for contestant in contestants[first:] + contestants[:first]:
                contestant.rounds.append(contestant.measure())
    return table(num_busy, contestants, loads)


def table(num_busy: int, contestants: list[Contestant], loads: list[float]) -> str:
    """Medians, and how the defaults compare with the best of what was set by hand."""
    lines = [
        f"## {num_busy} busy process{'es' * (num_busy != 1)}, {date.today().isoformat()}",
        "",
        f"`python benchmarks/cpu.py --busy {num_busy} --rounds {len(loads)}`, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {version('torch')}; "
        f"load average {min(loads):.1f} to {max(loads):.1f}, what is measured "
        "and the busy processes included.",
        "",
        "| | " + " | ".join(WORK) + " |",
        "|---" * (len(WORK) + 1) + "|",
    ]
    for contestant in contestants:
        medians = [statistics.median(r[work] for r in contestant.rounds) for work in WORK]
        lines.append(f"| {contestant.name} | " + " | ".join(f"{m:.2f}" for m in medians) + " |")
    ours, by_hand = contestants[0], contestants[1 : len(SETTINGS)]
    ratios = []
    for work in WORK:
        # The best setting is one setting, chosen by its median: not each round's luckiest.
        best = min(by_hand, key=lambda c: statistics.median(r[work] for r in c.rounds))
        pairs = zip(ours.rounds, best.rounds, strict=True)
        ratios.append(statistics.median(a[work] / b[work] for a, b in pairs))
    lines.append(
        f"| **defaults / best by hand** (goal: {GOAL}) | "
        + " | ".join(f"**{ratio:.2f}**" for ratio in ratios)
        + " |"
    )
    return "\n".join(lines) + "\n"


def run(num_busy: int, num_rounds: int, against: Path | None, out: Path | None) -> None:
    """Measures, prints, and adds the table to `out`."""
    text = contest(num_busy, num_rounds, against)
    print(text)
    if out is not None:
        path = out / "cpu_busy.md"
        title = "# The defaults beside busy processes\n"
        path.write_text((path.read_text() if path.exists() else title) + "\n" + text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--child", action="store_true")
    if not parser.parse_args().child:
        parser.error("run benchmarks/cpu.py --busy N")
    serve()
