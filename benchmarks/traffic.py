"""What users' requests meet on a GPU: several kinds of traffic, several settings, one table.

    python benchmarks/traffic.py                        # default options
    python benchmarks/traffic.py --settings default 'max_num_seqs=256,block_size=16'

Random weights of Qwen3-0.6B's shape, temperature 0.6, lengths fixed by a seed:

    known     256 requests at once, 100 to 1,024 tokens in and out (nano-vllm's benchmark)
    short     1,024 requests at once, 64 to 256 tokens in and out
    poisson   600 requests at 30 a second, 100 to 2,000 tokens in, 50 to 300 out: the time to the
              first token, and between two tokens, as whoever waits for them sees it

The floor of a workload that decodes is in `gpu.py`. Results go to `benchmarks/results/traffic.md`.
"""

import argparse
import gc
import json
import random
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from gpu import option
from gpu_shapes import shape

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.loader import build_random_model
from nanovllm_edu.runners.build import build_runner, choose_ops
from nanovllm_edu.runners.defaults import device_defaults

VOCABULARY = 10_000
WORDS = """\
Three kinds of requests, with random weights of Qwen3-0.6B's shape.
Seconds: *start* until the engine is ready; *known* for 256 requests at once, 100 to 1,024 tokens
in and out; *short* for 1,024 requests at once, 64 to 256 tokens in and out.
Milliseconds: for 600 requests that come at 30 a second, 100 to 2,000 tokens in and 50 to 300 out,
the time to the first token (*ttft*) and between two tokens (*gap*)."""
Request = tuple[list[int], int]


def requests(count: int, inputs: tuple[int, int], outputs: tuple[int, int]) -> list[Request]:
    rng = random.Random(0)
    return [
        ([rng.randrange(VOCABULARY) for _ in range(rng.randint(*inputs))], rng.randint(*outputs))
        for _ in range(count)
    ]


def add(engine: LLMEngine, request: Request) -> int:
    prompt, length = request
    params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=length)
    return engine.add_request(prompt, params)


def all_at_once(engine: LLMEngine, given: list[Request]) -> dict[str, float]:
    """Seconds until the last token."""
    engine.scheduler.block_manager.reset_prefix_cache()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for request in given:
        add(engine, request)
    for _ in engine.run(depth=1):
        pass
    return {"s": time.perf_counter() - begin}


def poisson(engine: LLMEngine, given: list[Request], rate: float) -> dict[str, float]:
    """Milliseconds to the first token and between two tokens."""
    engine.scheduler.block_manager.reset_prefix_cache()
    rng, now = random.Random(1), 0.0
    arrivals = [now := now + rng.expovariate(rate) for _ in given]
    waiting = list(zip(arrivals, given, strict=True))[::-1]
    due: dict[int, float] = {}
    newest: dict[int, float] = {}
    first, between = [], []
    begin = time.perf_counter()
    while waiting or engine.has_unfinished_requests() or engine.num_steps_in_flight:
        clock = time.perf_counter() - begin
        while waiting and waiting[-1][0] <= clock:
            arrival, request = waiting.pop()
            due[add(engine, request)] = arrival
        record = engine.advance(depth=1)
        clock = time.perf_counter() - begin
        for seq_id in record.new_tokens if record else ():
            (between if seq_id in newest else first).append(clock - newest.get(seq_id, due[seq_id]))
            newest[seq_id] = clock
        if record is None and waiting:
            time.sleep(max(0.0, waiting[-1][0] - clock))
    return percentiles("ttft", first) | percentiles("gap", between)


def percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    values = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(seconds)}
    return {f"{name} {key}": 1e3 * value for key, value in values.items()}


def measure(setting: str, repeats: int) -> dict[str, Any]:
    gc.collect()  # the engine before this one held most of the memory
    given: dict[str, Any] = {}
    if setting != "default":
        given = dict(map(option, setting.split(",")))
    device = torch.device("cuda")
    model_config = shape("qwen3-0.6b")
    options = {k: v for k, (v, _) in device_defaults(device, model_config).items()} | given
    config = EngineConfig(device="cuda", max_model_len=4096, **options)
    ops, why = choose_ops(device, torch.bfloat16)
    model = build_random_model(
        model_config, dtype=torch.bfloat16, device=device, ops=ops, max_model_len=4096
    )
    begin = time.perf_counter()
    reasons = {"device": "benchmark", "dtype": "benchmark", "ops": why}
    runner, _ = build_runner(model, config, frozenset(), reasons)
    result: dict[str, Any] = {"options": options, "start": time.perf_counter() - begin}
    engine = LLMEngine(runner, config)
    known, short = requests(256, (100, 1024), (100, 1024)), requests(1024, (64, 256), (64, 256))
    arriving = requests(600, (100, 2000), (50, 300))
    all_at_once(engine, [([1] * 600, 8)] * 4)
    result["known"] = [all_at_once(engine, known)["s"] for _ in range(repeats)]
    result["short"] = [all_at_once(engine, short)["s"] for _ in range(repeats)]
    result["poisson"] = poisson(engine, arriving, 30)
    engine.close()
    return result


def as_markdown(results: dict[str, dict[str, Any]]) -> str:
    """One row a setting."""
    names = [f"{what} {cut}" for what in ("ttft", "gap") for cut in ("p50", "p90", "p99", "max")]
    head = ["setting", "start s", "known s", "short s", *(f"{name} ms" for name in names)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for setting, result in results.items():
        seconds = [result["start"], *(statistics.median(result[k]) for k in ("known", "short"))]
        numbers = [f"{value:.2f}" for value in seconds]
        numbers += [f"{result['poisson'][name]:.1f}" for name in names]
        lines.append(f"| {setting} | {' | '.join(numbers)} |")
    default = next(iter(results.values()))["options"]
    where = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {date.today()}"
    last = f"First row's options: {_written(default)}. {where}."
    return "\n".join(["# Traffic", "", WORDS, "", *lines, "", last, ""])


def _written(options: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="+", default=["default"])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    results = {s: measure(s, arguments.repeats) for s in arguments.settings}
    (arguments.out / "traffic.json").write_text(json.dumps(results, indent=1) + "\n")
    text = as_markdown(results)
    (arguments.out / "traffic.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
