"""What a server costs beside its engine, on this machine's CPU, with the model in the box.

    python benchmarks/serve.py                 everything; some minutes
    python benchmarks/serve.py --rounds 2      quicker, and noisier

The engine driven directly and through HTTP take turns with the same prompts, so that a busy machine
disturbs both; each figure is a median. Clients are a process of their own. It talks to 127.0.0.1
only. (Linux, for the processor time of each process.)
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from threading import Event
from time import perf_counter, process_time, sleep, thread_time
from typing import NamedTuple

from benchmarks.remote import cpu_milliseconds
from benchmarks.serve_soak import checksum_llm, memory
from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.view import View
from nanovllm_edu.llm import LLM
from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Target
from nanovllm_edu.serve.app import Served
from nanovllm_edu.serve.gatekeeper import Rules
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.server import Address, ServerThread
from nanovllm_edu.serve.watch import SECONDS as SECONDS_BETWEEN_LOOKS

STREAMS, REQUESTS, WORDS, TOKENS = 64, 192, 24, 48
OPTIONS = {"max_num_seqs": STREAMS, "enable_prefix_caching": False, "num_blocks": 1024}
PARAMS = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
SECONDS = 8
"""So long users come to a server that is to be overloaded."""
LOOKS = 8
"""A page is told of new steps so often in one measurement: that is when it costs something."""
COMMAND = [sys.executable, "-m", "nanovllm_edu"]


POOL = ("--max-num-seqs", str(STREAMS), "--num-blocks", "1024")


class Serving(NamedTuple):
    """A server that runs: its address, and the processes that it is made of."""

    url: str
    pids: tuple[int, ...]


@contextmanager
def serving(*words: str, is_apart: bool = False) -> Iterator[Serving]:
    """A server in a process of its own; `is_apart`: and its model in another one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--port", str(port), "--no-prefix-caching", "--max-waiting", "4096", *POOL, *words)
    command = [*COMMAND, "serve", *options, *["--model-apart"] * is_apart]
    with TemporaryFile("w+") as said, subprocess.Popen(command, stderr=said) as server:
        try:
            while not is_well(f"http://127.0.0.1:{port}"):
                if server.poll() is not None:
                    said.seek(0)
                    raise SystemExit(f"the server ended:\n{said.read()}")
                sleep(0.01)
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
            pids = children.read_text().split() if children.exists() else []  # not every kernel's
            yield Serving(f"http://127.0.0.1:{port}", (server.pid, *map(int, pids)))
        finally:
            server.terminate()


def is_well(url: str) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"{url}/health", timeout=5).status == 200
    except OSError:
        return False


def load(url: str, *words: str, tokens: int = TOKENS) -> dict:
    """One run of the load generator, in a process of its own."""
    options = ("--url", f"{url}/v1", "--prompt-words", str(WORDS), "--max-tokens", str(tokens),
               "--body", '{"temperature": 0, "ignore_eos": true}', "--json")  # fmt: skip
    run = subprocess.run([*COMMAND, "load", *options, *words], capture_output=True, check=True)
    return json.loads(run.stdout)["runs"][-1]


def by_users(
    llm: AsyncLLM, prompts: list[str], params: SamplingParams = PARAMS, users: int = STREAMS
) -> float:
    """Seconds that so many users take, each asking when it was answered."""

    async def main() -> float:
        left, begin = iter(prompts), perf_counter()

        async def user() -> None:
            for prompt in left:
                async for _ in llm.stream(prompt, params):
                    pass

        await asyncio.gather(*(user() for _ in range(users)))
        return perf_counter() - begin

    return asyncio.run(main())


def crowd(server: Serving) -> dict[str, float]:
    """What the same users get through HTTP, and what it takes of the processor a token."""
    before, client_before = sum(map(cpu_milliseconds, server.pids)), children_seconds()
    run = load(server.url, "--closed", str(STREAMS), "--requests", str(REQUESTS))
    assert run["num_whole"] == REQUESTS, run["errors"]
    took = sum(map(cpu_milliseconds, server.pids)) - before
    asked = children_seconds() - client_before
    return {
        "tokens/s": run["tokens_per_second"],
        "requests/s": run["requests_per_second"],
        "time to first token, p50, ms": 1e3 * run["first_token"]["p50"],
        "processor time of the server, us/token": 1e3 * took / (REQUESTS * TOKENS),
        "processor time of the client and its start, us/token": 1e6 * asked / (REQUESTS * TOKENS),
    }


def children_seconds() -> float:
    """What processes that have ended took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def through_http(rounds: int) -> dict[str, float]:
    """Tokens a second of `LLM.generate`, of users of an `AsyncLLM`, and of servers', in turns.

    Users in a closed loop come one after the other and leave rows empty in between. `LLM.generate`
    has all requests at once and leaves none: what the first lose is no cost of HTTP.
    """
    target, job = Target("http://127.0.0.1/v1"), Job(0.0, WORDS, TOKENS)
    prompts = [target.prompt(job, index) for index in range(REQUESTS)]  # those of `load`
    num_tokens, found = REQUESTS * TOKENS, defaultdict[str, list[float]](list)
    with ExitStack() as stack:
        llm = stack.enter_context(LLM(**OPTIONS))
        async_llm = stack.enter_context(AsyncLLM(llm, max_waiting=4096))
        servers = {
            "HTTP": stack.enter_context(serving()),
            "HTTP, model apart": stack.enter_context(serving(is_apart=True)),
        }
        for number in range(rounds + 1):
            if number == 1:  # the first one warms up
                found.clear()
            begin, took = perf_counter(), process_time()
            llm.generate(prompts, PARAMS, use_tqdm=False)
            found["LLM.generate: tokens/s"].append(num_tokens / (perf_counter() - begin))
            took = process_time() - took
            found["LLM.generate: processor time, us/token"].append(1e6 * took / num_tokens)
            took = process_time()
            users = num_tokens / by_users(async_llm, prompts)
            found[f"{STREAMS} users of an AsyncLLM: tokens/s"].append(users)
            took = process_time() - took
            found["these users: processor time, us/token"].append(1e6 * took / num_tokens)
            for name, server in servers.items():
                for what, value in (got := crowd(server)).items():
                    found[f"{name}: {what}"].append(value)
                found[f"{name}: lost to these users, %"].append(100 * (1 - got["tokens/s"] / users))
    return {name: median(values) for name, values in found.items()}


def start_up(rounds: int) -> dict[str, float]:
    """Seconds from the command to a server that would answer, beside those that an LLM takes."""
    servers, llms = [], []
    code = "from nanovllm_edu import LLM; LLM()"
    for _ in range(rounds):
        begin = perf_counter()
        with serving():
            servers.append(perf_counter() - begin)
        begin = perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
        llms.append(perf_counter() - begin)
    return {"start-up, s": median(servers), "of which an LLM() alone, s": median(llms)}


def stream_memory(count: int = 200) -> dict[str, float]:
    """KiB for each stream that is open and waits, the client's end of the connection included."""
    with AsyncLLM(checksum_llm(), max_waiting=4096) as llm:
        runner, leave = llm.llm.engine.runner, Event()
        launch = runner.launch
        runner.launch = lambda plan: leave.wait() and launch(plan)  # no step: all of them wait
        rules = Rules(limits=ServeLimits(max_streams=2 * count))
        with ServerThread(Served(llm, "checksum", rules), Address(port=0)) as server:
            host, port = server.url.removeprefix("http://").split(":")
            body = json.dumps({"prompt": [1, 2, 3], "max_tokens": 900, "stream": True})
            head = "POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
            request = f"{head}Host: {host}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            opened, sizes = [], []
            for number in range(2 * count):
                opened.append(socket.create_connection((host, int(port))))
                opened[-1].sendall(request.encode())
                if number in (count - 1, 2 * count - 1):
                    while llm.num_unfinished < number + 1:
                        sleep(0.01)
                    sizes.append(memory())
            for sock in opened:
                sock.close()
            leave.set()
    return {"memory for an open stream, KiB": 1024 * (sizes[1] - sizes[0]) / count}


async def _seconds_a_step(llm: AsyncLLM, served: Served, *, watched: bool) -> tuple[float, float]:
    """By the clock, and of the processor."""

    async def watch() -> None:
        async for _ in served.watch.events(lambda: False):
            pass

    watcher = asyncio.create_task(watch()) if watched else None
    await asyncio.sleep(0.3)
    before, begin, took = llm.metrics().num_steps, perf_counter(), process_time()
    while perf_counter() - begin < LOOKS * SECONDS_BETWEEN_LOOKS:
        prompts = [[10 + i, *range(11, 14 + i)] for i in range(16)]  # blocks end at other steps
        params = SamplingParams(temperature=0, max_tokens=100, ignore_eos=True)
        await llm.stream([*prompts], params).outputs()
    num_steps = llm.metrics().num_steps - before
    seconds = (perf_counter() - begin) / num_steps, (process_time() - took) / num_steps
    if watcher:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    return seconds


def watching(rounds: int) -> dict[str, float]:
    """What somebody who looks at /watch costs a step."""

    async def main() -> list[tuple[float, ...]]:
        async with AsyncLLM(**OPTIONS) as llm:
            gc.collect()
            gc.freeze()  # as `serve` does
            served, pairs = Served(llm, "tiny", Rules()), list[tuple[float, ...]]()
            await _seconds_a_step(llm, served, watched=True)
            for _ in range(3 * rounds):
                alone = await _seconds_a_step(llm, served, watched=False)
                watched = await _seconds_a_step(llm, served, watched=True)
                costs = (
                    100 * (after / before - 1) for before, after in zip(alone, watched, strict=True)
                )
                pairs.append((1e3 * alone[0], 1e3 * alone[1], *costs))
            return pairs

    clock, processor, cost, cost_of_processor = map(median, zip(*asyncio.run(main()), strict=True))
    return {
        "a step of 16 sequences, ms": clock,
        "a step of 16 sequences, ms of the processor": processor,
        "cost of a watcher, % of a step": cost,
        "cost of a watcher, % of a step's processor time": cost_of_processor,
    }


def entries(rounds: int) -> dict[str, float]:
    """What a step's entry of `/watch` takes, in processor time: of the thread that makes them."""
    params = SamplingParams(temperature=0, max_tokens=100, ignore_eos=True)
    found = []
    with LLM(**OPTIONS) as llm:
        for _ in range(rounds):
            recorder = Recorder(llm.engine)
            view = View(recorder.recording)
            for i in range(16):
                recorder.add_request([10 + i, 11, 12, 13], params)
            while llm.engine.has_unfinished_requests():
                recorder.step()
            recording, begin = recorder.recording, thread_time()
            view.extend(recording)
            found.append(1e6 * (thread_time() - begin) / len(recording))
    return {"entry of a step of 16 sequences, us of the processor": median(found)}


def overload(rounds: int) -> dict[str, float]:
    """Goodput at and above the capacity, when who waits in vain is turned away, and when not."""
    found: dict[str, float] = {}
    for name, words in (("turned away after 1 s", ("--max-queue-seconds", "1")), ("waiting", ())):
        with serving(*words) as server:
            url = server.url
            # At full speed for longer than the queue's limit: what the server can do.
            capacity = load(url, "--closed", str(STREAMS), "--requests", str(4 * REQUESTS))
            rate, kept = capacity["requests_per_second"], defaultdict[float, list[float]](list)
            found[f"capacity, {name}, /s"] = rate
            for _ in range(rounds):
                for times in (0.9, 1.1, 2.0):
                    slo = ("--slo-ttft", "1.5", "--slo-tpot", "1", "--timeout", "60")
                    open_loop = ("--rate", str(times * rate), "--seconds", str(SECONDS))
                    # Of the seconds in which users came: the rest is the last ones' answers.
                    kept[times].append(load(url, *open_loop, *slo)["num_kept"] / SECONDS)
        goodput = {times: median(values) for times, values in kept.items()}
        for times, value in goodput.items():
            found[f"goodput at {times:g} × capacity, {name}, /s"] = value
        share = 100 * goodput[2.0] / max(goodput.values())
        found[f"goodput at twice the capacity, {name}, % of its peak"] = share
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of: http, start, memory, watch, entries, overload")
    given = parser.parse_args()
    parts = {
        "http": through_http,
        "start": start_up,
        "memory": lambda _: stream_memory(),
        "watch": watching,
        "entries": entries,
        "overload": lambda rounds: overload(min(rounds, 2)),
    }
    for name, measure in parts.items():
        if given.only in (None, name):
            for what, value in measure(given.rounds).items():
                print(f"{what:72} {value:10.2f}", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
