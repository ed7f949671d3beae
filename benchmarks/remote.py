"""What does a wire cost? The model in the box here, and behind `nanovllm-edu runner` on loopback.

    python benchmarks/remote.py              # a minute; writes results/remote.md
    python benchmarks/remote.py --quick      # seconds, writes nothing

Requests of equal length decode greedily. One process steps its own model; then an engine here steps
the model of another process, step by step and one step ahead. Runs alternate, so that a busy
machine slows everybody; a ratio is the median of the ratios of neighbouring runs.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter

import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.runners.remote import RemoteRunner

RESULT = Path(__file__).parent / "results" / "remote.md"
BATCHES = (1, 8, 32)
POOL = {"num_blocks": 600, "block_size": 16}


@contextmanager
def host() -> Iterator[str]:
    """The model in a process of its own; its address."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in POOL.items()]
    command = [sys.executable, "-m", "nanovllm_edu", "runner", "--port=0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"ws://[\d.:]+", process.stderr.readline())
        assert found is not None
        yield found[0]
        process.terminate()


def milliseconds_a_step(llm: LLM, batch: int, depth: int, num_tokens: int) -> float:
    """Of the decode steps of one run."""
    params = SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True)
    for i in range(batch):
        llm.engine.add_request([10 + i, *range(100, 130)], params)
    llm.engine.step()  # the prompts
    begin = perf_counter()
    num_steps = sum(1 for _ in llm.engine.run(depth))
    return 1e3 * (perf_counter() - begin) / num_steps


def measure(here: LLM, there: LLM, batch: int, num_runs: int, num_tokens: int) -> list[str]:
    """A row of the table."""
    ways = ((here, 0), (here, 1), (there, 0), (there, 1))
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(num_runs + 1):  # the first one warms up
        for (llm, depth), kept in zip(ways, times, strict=True):
            kept.append(milliseconds_a_step(llm, batch, depth, num_tokens))
    middle = [statistics.median(kept[1:]) for kept in times]
    ratios = [
        statistics.median(far / near for near, far in zip(near[1:], far[1:], strict=True))
        for near, far in ((times[0], times[2]), (times[1], times[3]))
    ]
    return [str(batch), *(f"{one:.2f}" for one in middle), *(f"{one:.2f}" for one in ratios)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    num_runs, num_tokens = (2, 30) if quick else (9, 200)
    load = os.getloadavg()[0]
    rows = [
        ["batch", "here, depth 0", "here, depth 1", "wire, depth 0", "wire, depth 1",
         "wire / here at depth 0", "at depth 1"],
        ["---:"] * 7,
    ]  # fmt: skip
    with host() as url, LLM(**POOL) as here, LLM(runner=RemoteRunner(url)) as there:
        rows += [measure(here, there, batch, num_runs, num_tokens) for batch in BATCHES]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    print(table)
    if not quick:
        RESULT.write_text(
            "# What a wire costs\n\n"
            "The model in the box, greedy decode steps of equal requests: stepped by its own "
            "process (here), and by an engine whose model is in another process of the same "
            "machine (wire: a WebSocket on loopback). Milliseconds a step, medians.\n\n"
            f"{table}\n\n"
            f"`python benchmarks/remote.py`, {date.today()}: {os.cpu_count()} CPU cores, torch "
            f"{torch.__version__}, Python {sys.version.split()[0]}; load average of the machine "
            f"{load:.1f} before and {os.getloadavg()[0]:.1f} after. Both processes share the "
            "cores: the engine has no machine of its own here.\n"
        )


if __name__ == "__main__":
    main()
