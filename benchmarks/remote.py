"""What does a wire cost? The model in the box here, and behind `nanovllm-edu runner` on loopback.

    python benchmarks/remote.py              # two minutes; writes results/remote.md
    python benchmarks/remote.py --quick      # seconds, writes nothing

Requests decode greedily, planned one step ahead; in the last shape prompts arrive meanwhile. One
process steps its own model; then an engine here steps the model of another process; and again, by
turns. Clocks say little on a busy machine, so what each process takes of the CPU is counted, too:
with a core or a machine of its own, the one that takes more is the one that is waited for. (Linux.)
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter

import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.runners.remote import RemoteRunner

RESULT = Path(__file__).parent / "results" / "remote.md"
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


def milliseconds_while_prompts_arrive(llm: LLM, depth: int, num_tokens: int) -> float:
    """Of the steps of one run in which every fifth takes in a prompt of 60 tokens."""
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
    prompts = [[10 + i, *range(100, 159)] for i in range(num_tokens // 5)]
    llm.engine.add_request(prompts.pop(), params)
    begin, num_steps = perf_counter(), 0
    for _ in llm.engine.run(depth):
        num_steps += 1
        if prompts and num_steps % 5 == 0:
            llm.engine.add_request(prompts.pop(), params)
    return 1e3 * (perf_counter() - begin) / num_steps


def cpu_milliseconds(pid: int) -> float:
    """What all threads of a process have taken of the CPU (Linux); others' work is not in it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def measure(here: LLM, there: LLM, host_pid: int, name: str, num_runs: int, num_tokens: int):
    """A row of the table: medians of runs that take turns."""
    own, rows = os.getpid(), []
    for _ in range(num_runs + 1):  # the first one warms up
        before = cpu_milliseconds(own)
        near = SHAPES[name](here, num_tokens)
        middle, host_before = cpu_milliseconds(own), cpu_milliseconds(host_pid)
        far = SHAPES[name](there, num_tokens)
        taken = (middle - before, cpu_milliseconds(own) - middle,
                 cpu_milliseconds(host_pid) - host_before)  # fmt: skip
        rows.append((near, far, far / near, *(one / taken[0] for one in taken[1:])))
    columns = list(zip(*rows[1:], strict=True))
    low, _, high = statistics.quantiles(columns[2], n=4)
    near, far, ratio, engine, host = map(statistics.median, columns)
    return [name, f"{near:.2f}", f"{far:.2f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}",
            f"{engine:.2f}", f"{host:.2f}"]  # fmt: skip


SHAPES: dict[str, Callable[[LLM, int], float]] = {
    "1 row": lambda llm, num_tokens: milliseconds_a_step(llm, 1, 1, num_tokens),
    "8 rows": lambda llm, num_tokens: milliseconds_a_step(llm, 8, 1, num_tokens),
    "64 rows": lambda llm, num_tokens: milliseconds_a_step(llm, 64, 1, num_tokens // 2),
    "prompts arrive": lambda llm, num_tokens: milliseconds_while_prompts_arrive(llm, 1, num_tokens),
}
"""What is measured, one step ahead."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    num_runs, num_tokens = (2, 20) if quick else (40, 40)
    load = os.getloadavg()[0]
    rows = [
        ["shape", "here, ms", "wire, ms", "wire / here", "its quartiles", "CPU of the engine",
         "CPU of the host"],
        ["---", *["---:"] * 6],
    ]  # fmt: skip
    with host() as (url, pid), LLM(**POOL) as here, LLM(runner=RemoteRunner(url)) as there:
        rows += [measure(here, there, pid, name, num_runs, num_tokens) for name in SHAPES]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    print(table)
    if not quick:
        RESULT.write_text(
            "# What a wire costs\n\n"
            "The model in the box, greedy requests: stepped by its own process (here), and by an "
            "engine whose model is in another process of the same machine (wire: a WebSocket on "
            "loopback), one step ahead. Milliseconds a step of the clock, and their ratio; both "
            "take turns, and the middle of all turns is given. The last two columns: what the "
            "wire's two processes take of the CPU, as parts of what the one process takes.\n\n"
            f"{table}\n\n"
            f"`python benchmarks/remote.py`, {date.today()}: {os.cpu_count()} CPU cores, torch "
            f"{torch.__version__}, Python {sys.version.split()[0]}; load average of the machine "
            f"{load:.1f} before and {os.getloadavg()[0]:.1f} after. Both processes share the "
            "cores: the engine has no machine of its own here.\n"
        )


if __name__ == "__main__":
    main()
