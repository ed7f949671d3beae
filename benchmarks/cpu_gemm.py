"""How fast is our GEMM in C on one core, next to oneDNN's packed one and torch's plain one?

    python benchmarks/cpu_gemm.py     # a minute; prints a table in Markdown

Time is the processor's, not the clock's, so it holds on a busy machine too; each is the best of
several. GB/s counts the weight alone, as one row has to read it; "copy" is what copying as many
bytes between two tensors reads. The last weight, of 128 MiB, fits into no cache.
"""

import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: processor time is to be one core's

import torch

from nanovllm_edu.layers.packed import Gemm, PackedMatrix, reference
from nanovllm_edu.native.gemm import NativeGemm

SHAPES = (
    (512, 256),
    (2560, 256),
    (2048, 512),
    (3072, 1024),
    (1024, 3072),
    (6144, 1024),
    (32768, 1024),
)
ROWS = (1, 4, 8, 64, 512)
REPEATS = 15


def seconds(work: Callable[[], object], times: int) -> float:
    """Of one call, the best of several series."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - begin) / times)
    return best


def compare(outputs: int, inputs: int) -> None:
    """Prints the rows of one weight."""
    weight = torch.randn(outputs, inputs)
    other = torch.empty_like(weight)
    ours, packed = NativeGemm(), PackedMatrix()
    for rows in ROWS:
        compare_rows(weight, torch.randn(rows, inputs), other, ours, packed)


def compare_rows(
    weight: torch.Tensor, x: torch.Tensor, other: torch.Tensor, ours: Gemm, packed: Gemm
) -> None:
    """Prints one row of the table."""
    num_flops = 2 * len(x) * weight.numel()
    times = max(1, int(4e7 / num_flops))
    mine = seconds(lambda: ours(x, weight), times)
    theirs = seconds(lambda: packed(x, weight), times)
    plain = seconds(lambda: reference(x, weight), times)
    copy = seconds(lambda: other.copy_(weight), times)
    print(
        f"| {weight.shape[0]} x {weight.shape[1]} | {len(x)} | {mine * 1e6:.0f} "
        f"| {theirs / mine:.2f} | {plain / mine:.2f} | {weight.nbytes / mine / 1e9:.0f} GB/s, "
        f"{num_flops / mine / 1e9:.0f} GFLOP/s | {weight.nbytes / copy / 1e9:.0f} GB/s |"
    )


def main() -> None:
    """Measures all shapes."""
    print("| outputs x inputs | rows | ours, us | oneDNN / ours | torch / ours | ours | copy |")
    print("|---|---|---|---|---|---|---|")
    for outputs, inputs in SHAPES:
        compare(outputs, inputs)


if __name__ == "__main__":
    main()
