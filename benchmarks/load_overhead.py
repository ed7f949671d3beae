"""How much of what the load generator reports is its own doing?

    python benchmarks/load_overhead.py                  500 streams at once
    python benchmarks/load_overhead.py --streams 50

A server that computes nothing, in a process of its own, sends pieces at fixed times and notes when
it received each request and when it wrote the first and the last piece. What the generator reports
above that is overhead: connecting, the kernel, and its own lateness. It talks to 127.0.0.1 only.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean, median
from time import process_time

from nanovllm_edu.load.answer import SLO
from nanovllm_edu.load.arrivals import Job, steady
from nanovllm_edu.load.client import Target, get
from nanovllm_edu.load.loops import open_loop
from nanovllm_edu.load.report import report

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n"
PIECE = b'data: {"choices":[{"index":0,"text":"word ","finish_reason":null}]}\n\n'


class Stub(asyncio.Protocol):
    """Answers each request with pieces at fixed times."""

    def __init__(self, num_pieces: int, seconds: float, log: list[tuple[float, float, float]]):
        self.num_pieces, self.seconds, self.log = num_pieces, seconds, log
        self.loop = asyncio.get_running_loop()
        self.received = self.first = 0.0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if data.startswith(b"GET"):
            body = json.dumps(self.log).encode()
            self.transport.write(HEAD + body)
            self.transport.close()
        elif not self.received:
            self.received = self.loop.time()
            self.transport.write(HEAD)
            self.loop.call_at(self.received + self.seconds, self.write, 0)

    def write(self, index):
        if self.transport.is_closing():
            return
        now = self.loop.time()
        self.first = self.first or now
        self.transport.write(PIECE)
        if index + 1 < self.num_pieces:
            due = self.received + (index + 2) * self.seconds
            self.loop.call_at(due, partial(self.write, index + 1))
        else:
            self.log.append((self.received, self.first, now))
            self.transport.write(b"data: [DONE]\n\n")
            self.transport.close()


async def serve(num_pieces: int, seconds: float) -> None:
    log: list[tuple[float, float, float]] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Stub(num_pieces, seconds, log), "127.0.0.1", 0, backlog=2000
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def stub(num_pieces: int, seconds: float) -> Iterator[str]:
    """A server in a process of its own; gives its URL."""
    command = [sys.executable, __file__, "--serve", str(num_pieces), str(seconds)]
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


async def measure(url: str, num_streams: int, begin_in: float) -> dict[str, float]:
    """All streams begin within so many seconds, and are open together."""
    target = Target(url, "stub")
    jobs = [Job(at) for at in steady(num_streams / begin_in, num_streams)]
    cpu = process_time()
    answers = await open_loop(target, jobs)
    cpu = process_time() - cpu
    found, log = report(answers, SLO()), json.loads(await get(target, "/log"))
    assert found.num_whole == num_streams, found.errors
    first, whole = (fmean(one[i] - one[0] for one in log[-num_streams:]) for i in (1, 2))
    return {
        "streams open at once": found.most_open,
        "pieces": found.num_tokens,
        "first token above the server's, %": 100 * (found.first_token.mean / first - 1),
        "end to end above the server's, %": 100 * (found.end_to_end.mean / whole - 1),
        "sent late by (p99), ms": 1e3 * found.late.p99,
        "CPU for a piece, µs": 1e6 * cpu / found.num_tokens,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", nargs=2, metavar=("PIECES", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--pieces", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2, help="between two pieces")
    parser.add_argument("--times", type=int, default=5, help="the median of so many runs")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(int(given.serve[0]), float(given.serve[1])))
        return
    with stub(given.pieces, given.seconds) as url:
        runs = [
            asyncio.run(measure(url, given.streams, 4 * given.seconds)) for _ in range(given.times)
        ]
    for name in runs[0]:
        print(f"{name:36} {median(run[name] for run in runs):10.2f}")


if __name__ == "__main__":
    main()
