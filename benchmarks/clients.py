"""Users of a server in several processes: one alone could not read all that a GPU says.

    python benchmarks/clients.py      is started by `Crowd`; it reads what to do, line by line

Read next: `benchmarks/serve_gpu.py`.
"""

import asyncio
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any, Self

from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Target
from nanovllm_edu.load.loops import closed_loop


class Crowd:
    """Processes that wait for something to ask."""

    def __init__(self, num_processes: int) -> None:
        command = [sys.executable, __file__]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(num_processes)
        ]

    def ask(self, url: str, users: int, requests: int, job: Job, body: dict) -> dict[str, float]:
        """What all users together see: each asks again when it was answered.

        Args:
            url: Of the server.
            users: How many at the same time.
            requests: How many in all.
            job: The size of each.
            body: Further fields of each.
        """
        share = len(self._processes)
        for seed, process in enumerate(self._processes):
            asked = {"url": url, "users": users // share, "requests": requests // share,
                     "words": job.prompt_words, "tokens": job.max_tokens, "body": body,
                     "seed": seed}  # fmt: skip
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
        heard = [json.loads(process.stdout.readline()) for process in self._processes]
        errors = [error for one in heard for error in one["errors"]]
        if errors:
            raise SystemExit(f"{len(errors)} requests failed, the first with: {errors[0]}")
        seconds = max(one["end"] for one in heard) - min(one["begin"] for one in heard)
        firsts = [first for one in heard for first in one["firsts"]]
        return {
            "tokens/s": requests // share * share * job.max_tokens / seconds,
            "time to first token, p50, ms": 1e3 * median(firsts) if firsts else float("nan"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self._processes:
            process.stdin.close()
            process.wait()


def part(asked: dict[str, Any]) -> dict[str, Any]:
    """One process's part of a crowd."""
    target = Target(f"{asked['url']}/v1", extra=asked["body"], seed=asked["seed"])
    jobs = [Job(0.0, asked["words"], asked["tokens"])] * asked["requests"]
    begin = time.perf_counter()
    answers = asyncio.run(closed_loop(target, jobs, asked["users"]))
    return {
        "begin": begin,
        "end": begin + max(answer.ended for answer in answers),
        "firsts": [answer.first_token for answer in answers if answer.pieces],
        "errors": [answer.error for answer in answers if answer.error],
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(part(json.loads(line))), flush=True)
