"""Ranks that are killed or stopped at random steps, again and again: what is left of them?

    python benchmarks/ranks_soak.py               # 50 rounds, some ten minutes
    python benchmarks/ranks_soak.py --rounds 3 --seed 1

Each round starts two ranks of the model in the box, takes a random number of steps, and then, at a
random depth, kills one rank (SIGKILL) or stops it (SIGSTOP) in the middle of a step. The engine
must end with one `DeviceLostError` within ten seconds, and no process, socket or file may be left.
"""

import argparse
import os
import random
import signal
import tempfile
import threading
from pathlib import Path
from time import perf_counter
from typing import Any

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.errors import DeviceLostError

PROMPTS = [[5, 6, 7, 8] * 5, [9, 8, 7], [5, 6, 7, 8] * 4 + [30, 31]]
SECONDS = 10.0


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def one_round(chance: random.Random, how: signal.Signals) -> float:
    """Seconds from the signal to the error."""
    with LLM(num_blocks=40, tensor_parallel_size=2) as llm:
        runner: Any = llm.engine.runner
        pids = [rank.process.pid for rank in runner.ranks]
        params = SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)
        for prompt in PROMPTS:
            llm.engine.add_request(prompt, params)
        for _ in range(chance.randrange(20)):
            llm.engine.step()
        sent: list[float] = []

        def end() -> None:
            sent.append(perf_counter())
            os.kill(chance.choice(pids), how)

        threading.Timer(chance.random() / 50, end).start()
        try:
            for _ in llm.engine.run(chance.randrange(3)):
                pass
            raise AssertionError("the run was over before its rank was")
        except DeviceLostError as lost:
            seconds, text = perf_counter() - sent[0], str(lost)
        llm.engine.scheduler.check_invariants()
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert not any(map(is_there, pids)), "a process is left"
    assert how is signal.SIGSTOP or "was killed by signal 9" in text, text
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of steps, depths and victims")
    arguments = parser.parse_args()
    rounds, chance = arguments.rounds, random.Random(arguments.seed)
    times: dict[signal.Signals, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
    files, folders = 0, set(os.listdir(tempfile.gettempdir()))
    for number in range(rounds):
        how = signal.SIGSTOP if number % 5 == 4 else signal.SIGKILL
        times[how].append(one_round(chance, how))
        files = files or open_files()
        assert open_files() <= files, "files stay open"
        print(f"round {number}: {how.name}, {times[how][-1]:.2f} s to the error", flush=True)
    left = [name for name in set(os.listdir(tempfile.gettempdir())) - folders if "tmp" in name]
    print(f"left in {tempfile.gettempdir()}: {left}")
    for how, seconds in times.items():
        if seconds:
            print(f"{how.name}: {len(seconds)} rounds, at most {max(seconds):.2f} s to the error")


if __name__ == "__main__":
    main()
