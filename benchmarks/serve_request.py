"""What a request takes of a server's event loop, by the express lane and through FastAPI.

    python benchmarks/serve_request.py         some seconds

Each asks for one token of an engine without weights, and there is no network: what is left is the
way from a body to an answer. Both ways take turns; a figure is the median of the rounds, in
processor time of the loop's thread.
"""

import argparse
import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from time import thread_time
from typing import Any

from starlette.types import ASGIApp

from benchmarks.serve_soak import checksum_llm
from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Target
from nanovllm_edu.serve.app import Served, create_app
from nanovllm_edu.serve.gatekeeper import Rules

HEADERS = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
TOGETHER = 50


async def ask(app: ASGIApp, body: bytes) -> list[Any]:
    """One request; returns what the app sent: the status, the token with the end, the last word."""
    left, gone, said = [{"type": "http.request", "body": body}], asyncio.Event(), list[Any]()
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "root_path": "",
             "query_string": b"", "headers": HEADERS}  # fmt: skip

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said


async def microseconds(app: ASGIApp, bodies: Sequence[bytes]) -> float:
    """Of the loop's thread, for each of these requests."""
    begin = thread_time()
    for first in range(0, len(bodies), TOGETHER):
        answers = await asyncio.gather(*(ask(app, b) for b in bodies[first : first + TOGETHER]))
        assert all(len(said) == 3 and said[0]["status"] == 200 for said in answers)
    return 1e6 * (thread_time() - begin) / len(bodies)


async def in_turns(
    apps: dict[str, ASGIApp], bodies: Sequence[bytes], rounds: int
) -> dict[str, float]:
    """The median of each app; the first round warms up."""
    found = defaultdict[str, list[float]](list)
    for number in range(rounds + 1):
        for name, app in apps.items():
            value = await microseconds(app, bodies)
            if number:
                found[name].append(value)
    return {name: median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=300, help="in a round")
    given = parser.parse_args()
    target = Target("http://127.0.0.1/v1", extra={"temperature": 0, "ignore_eos": True})
    bodies = [target.body(Job(0.0, 24, 1), index) for index in range(given.requests)]
    with AsyncLLM(checksum_llm(), max_waiting=4096) as llm:
        short, long = (create_app(Served(llm, "checksum", Rules())) for _ in range(2))
        long._app._stops = {}  # then every request goes through FastAPI
        apps = {"by the express lane": short, "through FastAPI": long}
        for name, value in asyncio.run(in_turns(apps, bodies, given.rounds)).items():
            print(f"{name:24} {value:6.0f} us of the loop for a request of one token")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
