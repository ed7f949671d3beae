"""Exercises of lesson 19, two GPUs: cutting an MLP, and when a second GPU pays."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.layers.ops import TorchOps
from nanovllm_edu.lessons.checks import require, whole_number
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.tensors import any_tensor

BANDWIDTH = 4.207e12
"""Bytes a second that an H200 moves when it copies; measured beside the sums below."""

SUMS = {
    "our own kernel": {1: 3.58, 8: 3.66, 32: 4.93, 64: 6.32, 128: 7.84, 512: 17.74},
    "NCCL": {1: 6.98, 8: 7.44, 32: 8.88, 64: 10.36, 128: 14.08, 512: 32.48},
}
"""Microseconds of one sum over two H200, in a CUDA graph, by rows of 4096 bfloat16 numbers:
`benchmarks/peer_sums.py`, 2026-11-29. Kept in `benchmarks/results/tensor_parallel.md`."""


@dataclass(frozen=True)
class Shape:
    """What a decode step of a model reads, and how often its ranks must sum.

    Attributes:
        weight_bytes: Of all matrices that a step reads.
        kv_bytes: Of a token in the cache.
        num_sums: Two in each layer, and one behind the embedding.
        hidden_size: Numbers in a row of a sum.
    """

    weight_bytes: float
    kv_bytes: float
    num_sums: int
    hidden_size: int


QWEN3_8B = Shape(15.14e9, 2 * 36 * 8 * 128 * 2, 73, 4096)
QWEN3_06B = Shape(1.19e9, 2 * 28 * 8 * 128 * 2, 57, 1024)


def sum_seconds(rows: int, hidden_size: int, who: str = "our own kernel") -> float:
    """Of one sum over two H200: between the sizes that were measured, on a straight line."""
    size, known = rows * hidden_size / 4096, sorted(SUMS[who].items())
    for (few, short), (many, long) in pairwise(known):
        if size <= many:
            share = max(0.0, size - few) / (many - few)
            return (short + share * (long - short)) / 1e6
    return known[-1][1] * size / known[-1][0] / 1e6


def computed_step(
    shape: Shape, num_ranks: int, batch: int, context: int = 256, who: str = "our own kernel"
) -> float:
    """Seconds of a decode step as bandwidth and sums allow it: computed, not measured.

    A real step is longer, by what does not fit so well together.
    """
    streamed = shape.weight_bytes + batch * context * shape.kv_bytes
    seconds = streamed / num_ranks / BANDWIDTH
    if num_ranks > 1:
        seconds += shape.num_sums * sum_seconds(batch, shape.hidden_size, who)
    return seconds


# ------------------------------------------------------------------------- 19.1 cut an MLP

MATRICES = ("gate_proj", "up_proj", "down_proj")
Cut = Callable[[str, Tensor, int, int], Any]
CUTS = ((6, 8, 2), (5, 12, 4), (8, 12, 3))
"""(hidden size, width, ranks)."""


def mlp(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """SwiGLU: down(silu(gate x) * up x)."""
    both = torch.cat((x @ weights["gate_proj"].T, x @ weights["up_proj"].T), dim=1)
    return TorchOps().silu_and_mul(both) @ weights["down_proj"].T


def _check_shard(shard: Cut, random: Random) -> str:
    for hidden, width, num_ranks in (*CUTS, (7, 4 * random.randint(2, 5), 4)):
        generator = torch.Generator().manual_seed(random.randrange(2**31))
        shapes = {"gate_proj": (width, hidden), "up_proj": (width, hidden),
                  "down_proj": (hidden, width)}  # fmt: skip
        whole = {name: torch.randn(*size, generator=generator) for name, size in shapes.items()}
        x = torch.randn(3, hidden, generator=generator)
        parts = [_part_of(shard, whole, rank, num_ranks) for rank in range(num_ranks)]
        total = torch.stack([mlp(x, part) for part in parts]).sum(0)
        require(
            bool(torch.allclose(total, mlp(x, whole), atol=1e-3, rtol=1e-3)),
            f"{num_ranks} ranks, width {width}: all parts fit, and yet the sum of what the ranks "
            "compute is not what the whole MLP computes. Does each number of the width belong to "
            "one rank, and to the same one in all three matrices?",
        )
    return f"{len(CUTS) + 1} MLPs in parts: each rank computes its own, and the sums are right."


def _part_of(shard: Cut, whole: dict[str, Tensor], rank: int, num_ranks: int) -> dict[str, Tensor]:
    """A rank's three matrices, if they fit together."""
    part: dict[str, Tensor] = {}
    for name in MATRICES:
        call = f'shard("{name}", weight, {rank}, {num_ranks})'
        part[name] = any_tensor(shard(name, whole[name].clone(), rank, num_ranks), call)
        require(
            part[name].dim() == 2,
            f"{call} is a matrix; you gave a tensor of shape {tuple(part[name].shape)}.",
        )
        require(
            part[name].numel() * num_ranks == whole[name].numel(),
            f"{call}: of {whole[name].numel()} numbers a rank has one part in {num_ranks}; you "
            f"gave {part[name].numel()}.",
        )
    hidden = whole["gate_proj"].shape[1]
    for name in ("gate_proj", "up_proj"):
        require(
            part[name].shape[1] == hidden,
            f"{name} reads all {hidden} numbers of a token, which each rank has; your part reads "
            f"{part[name].shape[1]}. Cut the other axis.",
        )
    require(
        part["down_proj"].shape[0] == hidden,
        f"down_proj reads what gate_proj and up_proj make on this rank, and writes all {hidden} "
        f"numbers of a token; your part writes {part['down_proj'].shape[0]}. Cut the other axis.",
    )
    return part


SHARD = Exercise(
    "19.1",
    "Cut an MLP",
    "shard",
    "medium",
    (
        "A weight is [outputs, inputs]. What can a rank compute alone, from a whole token? "
        "And which matrix then reads only what this rank has?",
        "gate_proj and up_proj are cut by rows, so a rank makes a part of the width; down_proj by "
        "columns, so it reads just that part. What it gives is then a part of a sum.",
        'axis = 1 if name == "down_proj" else 0; return weight.chunk(num_ranks, axis)[rank]',
    ),
    _check_shard,
)

# --------------------------------------------------------------------- 19.2 when does it pay

Costs = tuple[float, float, int, float, float]
PaysFrom = Callable[..., Any]
MOST = 1024

CASES: tuple[Costs, ...] = (
    (15_000.0, 40.0, 73, 3.6, 0.04),
    (1_200.0, 30.0, 57, 3.6, 0.01),
    (1_200.0, 30.0, 57, 25.0, 0.05),
    (300.0, 1.0, 57, 10.0, 0.05),
    (570.0, 14.0, 57, 5.0, 0.0),
    (1_754.0, 29.0, 51, 27.5, 0.04),
    (4_000.0, 4.0, 60, 5.0, 0.04),
)
"""(weights_mb, kv_mb, num_sums, sum_us, row_us). The last but one pays late, from 846 rows
on; the last at once, and for few rows only, so that halving the range does not find it."""

MB_A_MICROSECOND = 4.2
"""An H200's bandwidth."""

TIE = 1e-9
"""A gain that is smaller is the rounding of whoever computes it."""


def times_us(batch: int, costs: Costs) -> tuple[float, float]:
    """Microseconds of a decode step on one GPU and on two."""
    weights, kv, num_sums, sum_us, row_us = costs
    alone = (weights + batch * kv) / MB_A_MICROSECOND
    return alone, alone / 2 + num_sums * (sum_us + batch * row_us)


def _random_costs(random: Random) -> Costs:
    return (
        float(random.randint(100, 4000)), random.randint(4, 60) / 2, random.randint(20, 80),
        random.randint(6, 60) / 2, random.choice((0.0, 0.01, 0.04)),
    )  # fmt: skip


def _check_pays_from(pays_from: PaysFrom, random: Random) -> str:
    fresh = [_random_costs(random) for _ in range(5)]
    for costs in (*CASES, *fresh):
        call = f"pays_from{costs}"
        number = whole_number(pays_from(*costs), call)
        require(0 <= number <= MOST, f"{call} is from 0 (never) to {MOST}; you gave {number}.")
        want = next((b for b in range(1, MOST + 1) if _gain(b, costs) > TIE), 0)
        shown = number or want
        alone, both = times_us(max(1, shown), costs)
        facts = f"at batch {shown} one GPU takes {alone:.0f} µs, two take {both:.0f} µs"
        require(number > 0 or not want, f"{call}: two GPUs do pay: {facts}.")
        require(
            not number or _gain(number, costs) > -TIE,
            f"{call}: {number} is too early, for {facts}.",
        )
        require(
            not want or number <= want,
            f"{call}: {number} is right, but {want} already is: {facts}.",
        )
    return f"{len(CASES) + len(fresh)} models, each with the first batch size that is worth it."


def _gain(batch: int, costs: Costs) -> float:
    """Which share of the step two GPUs save."""
    alone, both = times_us(batch, costs)
    return 1 - both / alone


PAYS_FROM = Exercise(
    "19.2",
    "From which batch size does it pay?",
    "pays_from",
    "medium",
    (
        "One GPU streams weights_mb + batch * kv_mb at 4.2 MB a microsecond. What does each of two "
        "stream, and what comes on top?",
        "Half of it, and num_sums * (sum_us + batch * row_us). Try the sizes from 1 to 1024 "
        "and return the first at which two are faster; 0 if there is none.",
        "for b in range(1, 1025): alone = (weights_mb + b * kv_mb) / 4.2; if alone / 2 + num_sums "
        "* (sum_us + b * row_us) < alone: return b. After the loop: return 0.",
    ),
    _check_pays_from,
    shipped=(times_us,),
)

EXERCISES = (SHARD, PAYS_FROM)
