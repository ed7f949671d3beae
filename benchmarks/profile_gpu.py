"""Where the time of a step goes on a GPU: attention, products, small kernels, sampling, gaps.

    python benchmarks/profile_gpu.py [--out profile.txt]

Profiles steps of the workload of `benchmarks/gpu.py` in the engine as it is: a prefill step of
16,384 tokens, and decode steps of some numbers of rows. The profiler slows the host down, so gaps
are taken from a second measurement without it.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from gpu import Bench, workload
from torch.profiler import ProfilerActivity, profile

from nanovllm_edu import SamplingParams

KINDS = {
    "attention": ("flash_fwd", "_decode_kernel", "hopper_decode", "_prefill_kernel", "splitkv"),
    "sampling": ("_propose", "_pick", "_head_kernel", "argmax"),
    "products": (
        "nvjet",
        "gemm",
        "cutlass",
        "splitKreduce",
        "_project_add",
        "_norm_project",
        "_norm_gate",
        "hopper_gemm",
    ),
}
"""Parts of kernels' names; what has none of them is a small kernel."""


def kind_of(name: str) -> str:
    """The row of the table that a kernel belongs to."""
    return next((k for k, parts in KINDS.items() if any(p in name for p in parts)), "small kernels")


def run_to_end(bench: Bench, num_requests: int, num_tokens: int, skip: int) -> tuple[dict, float]:
    """Profiles the steps after the first `skip` of a run; returns kernels and their mean time."""
    prompts = workload()[0][:num_requests]
    engine = bench.engine
    engine.scheduler.block_manager.reset_prefix_cache()
    for prompt in prompts:
        params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=num_tokens)
        engine.add_request(prompt, params)
    steps = engine.run(depth=1)
    for _ in range(skip):
        next(steps)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(20 if skip else 3):
        next(steps)
    torch.cuda.synchronize()
    milliseconds = (time.perf_counter() - begin) * 1e3 / (20 if skip else 3)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        for _ in range(5 if skip else 2):
            next(steps)
        torch.cuda.synchronize()
    num_steps = 5 if skip else 2
    kernels = {
        event.key: (event.count / num_steps, event.self_device_time_total / num_steps)
        for event in trace.key_averages()
        if event.self_device_time_total
    }
    for _ in steps:
        pass
    return kernels, milliseconds


def table(name: str, kernels: dict, milliseconds: float) -> list[str]:
    """A step's times by kind, then its kernels."""
    kinds: dict[str, float] = defaultdict(float)
    for kernel, (_, microseconds) in kernels.items():
        kinds[kind_of(kernel)] += microseconds / 1e3
    gaps = milliseconds - sum(kinds.values())
    lines = [f"\n{name}: {milliseconds:.3f} ms"]
    lines += [f"  {kind:<14}{ms:8.3f} ms" for kind, ms in [*kinds.items(), ("gaps", gaps)]]
    for kernel, (count, us) in sorted(kernels.items(), key=lambda item: -item[1][1])[:16]:
        lines.append(f"    {count:6.1f} x {us / count:8.2f} us  {kernel[:88]}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[256, 128, 8])
    arguments = parser.parse_args()
    options = {"block_size": 256, "max_num_batched_tokens": 16_384}
    bench = Bench(SimpleNamespace(shape="qwen3-0.6b", options=options, repeats=1))
    lines = table("prefill, 16,384 tokens", *run_to_end(bench, 256, 1, skip=0))
    for rows in arguments.rows:
        lines += table(f"decode, {rows} rows", *run_to_end(bench, rows, 60, skip=20))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
