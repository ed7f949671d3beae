"""What a server costs beside a GPU: the same requests in six ways, which take turns.

    python benchmarks/serve_gpu.py                              256 streams, Qwen3-0.6B's shape
    python benchmarks/serve_gpu.py --shape tiny --streams 8 --num-blocks 64     a try on a CPU

    LLM.generate            all requests at once
    users of an AsyncLLM    each asks when it was answered; without HTTP
    HTTP                    the same users, through a server: its engine in the same process
    HTTP, model apart       with `serve --model-apart`: the model in a process of its own
    ..., whole answers      the same two, not streamed

Weights are random and nothing is downloaded; the clients are processes of their own. The table is
printed, and written to `$OUT/serve_gpu.md` if OUT is set.
"""

import argparse
import os
import platform
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from benchmarks.clients import Crowd
from benchmarks.random_folder import SHAPES, make_folder
from benchmarks.serve import Serving, by_users, serving
from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.llm import LLM
from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Target

GOAL = 8
"""Percent that HTTP may lose to the engine driven directly."""
TEMPERATURE = 0.6
WHOLE = {"stream": False, "stream_options": None}


Figures = dict[str, list[dict[str, float]]]


def measure(given: argparse.Namespace, folder: str, begin: float) -> Figures:
    """Each way's figures, round by round; the first round, which warms up, is left out."""
    streams, job = given.streams, Job(0.0, given.words, given.tokens)
    body = {"temperature": TEMPERATURE, "ignore_eos": True}
    params = SamplingParams(temperature=TEMPERATURE, ignore_eos=True, max_tokens=given.tokens)
    target = Target("http://127.0.0.1/v1")
    prompts = [target.prompt(job, index) for index in range(given.requests)]
    sizes = {"max_num_seqs": streams, "num_blocks": given.num_blocks}
    words = [str(w) for name, size in sizes.items() for w in (f"--{name.replace('_', '-')}", size)]
    words += ["--model", folder, "--max-streams", str(4 * streams)]
    found = defaultdict[str, list[dict[str, float]]](list)
    with ExitStack() as stack:
        crowd = stack.enter_context(Crowd(given.clients))
        # Alone: what it tries out and compiles, the others find.
        llm = stack.enter_context(LLM(folder, enable_prefix_caching=False, **sizes))
        told(begin, "an LLM is ready")
        async_llm = stack.enter_context(AsyncLLM(llm, max_waiting=4096))

        def start(is_apart: bool) -> Serving:
            return stack.enter_context(serving(*words, is_apart=is_apart))

        with ThreadPoolExecutor(2) as pool:
            here, apart = pool.map(start, (False, True))
        told(begin, "two servers are ready")

        def generate() -> float:
            begin = perf_counter()
            llm.generate(prompts, params, use_tqdm=False)
            return perf_counter() - begin

        def rate(seconds: float) -> dict[str, float]:
            return {"tokens/s": len(prompts) * given.tokens / seconds}

        def through(server: Serving, **more: object) -> dict[str, float]:
            return crowd.ask(server.url, streams, given.requests, job, {**body, **more})

        ways = {
            "`LLM.generate`": lambda: rate(generate()),
            "users of an `AsyncLLM`": lambda: rate(by_users(async_llm, prompts, params, streams)),
            "HTTP": lambda: through(here),
            "HTTP, whole answers": lambda: through(here, **WHOLE),
            "HTTP, model apart": lambda: through(apart),
            "HTTP, model apart, whole answers": lambda: through(apart, **WHOLE),
        }
        for number in range(given.rounds + 1):
            for name, way in ways.items():
                figures = way()
                if number:
                    found[name].append(figures)
            told(begin, f"round {number} of {given.rounds}")
            if perf_counter() - begin > given.seconds and number:
                break
    return found


def told(begin: float, what: str) -> None:
    print(f"{perf_counter() - begin:6.1f} s  {what}", flush=True)


def as_markdown(given: argparse.Namespace, found: dict[str, list[dict[str, float]]]) -> str:
    """One row for each way."""
    rates = {name: median(one["tokens/s"] for one in runs) for name, runs in found.items()}
    best = rates["`LLM.generate`"]
    users = rates["users of an `AsyncLLM`"]
    lines = [
        f"# {given.streams} streams, {given.shape}",
        "",
        "| what | tokens/s | lost to `LLM.generate` | lost to these users without HTTP | time to "
        "first token, p50, ms |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in found.items():
        first = median(one.get("time to first token, p50, ms", float("nan")) for one in runs)
        shown = "" if first != first else f"{first:.0f}"  # not a number: nothing was streamed
        lost = " | ".join(f"{100 * (1 - rates[name] / other):.1f}%" for other in (best, users))
        lines.append(f"| {name} | {rates[name]:,.0f} | {lost} | {shown} |")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    num_runs = len(found["HTTP"])
    lines += [
        "",
        f"Medians of {num_runs} rounds of {given.requests} requests with {given.words} words in "
        f"and {given.tokens} tokens out, {given.clients} processes of clients; the goal is {GOAL}%."
        f" `python benchmarks/serve_gpu.py`, {date.today()}: {device}, {os.cpu_count()} cores, "
        f"torch {torch.__version__}, Python {platform.python_version()}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--requests", type=int, default=0, help="left out: twice the streams")
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--clients", type=int, default=8, help="processes")
    parser.add_argument("--num-blocks", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=105, help="no round begins later")
    given = parser.parse_args()
    given.requests = given.requests or 2 * given.streams
    begin = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        make_folder(given.shape, Path(folder))
        told(begin, "a model is written")
        text = as_markdown(given, measure(given, folder, begin))
    print(text)
    if out := os.environ.get("OUT"):
        Path(out, "serve_gpu.md").write_text(text)


if __name__ == "__main__":
    main()
