"""What does a wire cost? The model in the box here, and behind `nanovllm-edu runner` on loopback.

    python benchmarks/remote.py              # a minute; writes results/remote.md
    python benchmarks/remote.py --quick      # seconds, writes nothing

Requests of equal length decode greedily, planned one step ahead. One process steps its own model;
then an engine here steps the model of another process. Wall clocks say little on a busy machine, so
what each process takes of the CPU is counted, too: with a core or a machine of its own, the one
that takes more is the one that is waited for. (Linux.)
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
def host() -> Iterator[tuple[str, int]]:
    """The model in a process of its own; its address and its process id."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in POOL.items()]
    command = [sys.executable, "-m", "nanovllm_edu", "runner", "--port=0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"ws://[\d.:]+", process.stderr.readline())
        assert found is not None
        yield found[0], process.pid
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


def cpu_milliseconds(pid: int) -> float:
    """What all threads of a process have taken of the CPU (Linux); others' work is not in it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def measure(here: LLM, there: LLM, host_pid: int, batch: int, num_runs: int, num_tokens: int):
    """A row of the table."""
    own, rows = os.getpid(), []
    for _ in range(num_runs + 1):  # the first one warms up
        before = cpu_milliseconds(own)
        near = milliseconds_a_step(here, batch, 1, num_tokens)
        middle, host_before = cpu_milliseconds(own), cpu_milliseconds(host_pid)
        far = milliseconds_a_step(there, batch, 1, num_tokens)
        taken = (middle - before, cpu_milliseconds(own) - middle,
                 cpu_milliseconds(host_pid) - host_before)  # fmt: skip
        rows.append((near, far, *(one / num_tokens for one in taken), taken[2] / taken[0]))
    middles = [statistics.median(column) for column in zip(*rows[1:], strict=True)]
    return [str(batch), *(f"{one:.2f}" for one in middles)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    num_runs, num_tokens = (1, 30) if quick else (5, 120)
    load = os.getloadavg()[0]
    rows = [
        ["batch", "here", "wire", "CPU here", "CPU of the wire's engine", "CPU of its host",
         "CPU of host / here"],
        ["---:"] * 7,
    ]  # fmt: skip
    with host() as (url, pid), LLM(**POOL) as here, LLM(runner=RemoteRunner(url)) as there:
        rows += [measure(here, there, pid, batch, num_runs, num_tokens) for batch in BATCHES]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    print(table)
    if not quick:
        RESULT.write_text(
            "# What a wire costs\n\n"
            "The model in the box, greedy decode steps of equal requests: stepped by its own "
            "process (here), and by an engine whose model is in another process of the same "
            "machine (wire: a WebSocket on loopback), one step ahead. Milliseconds a step: of the "
            "clock, and of each process on the CPU; medians. With a core or a machine each, the "
            "host is the one that is waited for.\n\n"
            f"{table}\n\n"
            f"`python benchmarks/remote.py`, {date.today()}: {os.cpu_count()} CPU cores, torch "
            f"{torch.__version__}, Python {sys.version.split()[0]}; load average of the machine "
            f"{load:.1f} before and {os.getloadavg()[0]:.1f} after. Both processes share the "
            "cores: the engine has no machine of its own here.\n"
        )


if __name__ == "__main__":
    main()
