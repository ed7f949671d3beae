"""Weights in 8 bits: a quarter of the bytes that a step has to read.

With few sequences a step's time is the time of reading the weights once. So each weight becomes an
integer from -127 to 127, and `GROUP` inputs of an output share one scale:

    weight ~ integer * scale          scale = largest of the group / 127

Rounding is off by half a scale at most. Small groups keep it small, as one large weight spoils only
its own group; each costs one float32 more. Only weights are kept so: what flows between layers, and
the KV cache, stay as they are ("weight-only quantization").

Embeddings are looked up row by row, which reads few bytes, so they stay in full.

Read next: `native/gemm.py`, which multiplies with them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn.functional import pad

GROUP = 64
LARGEST = 127


class Int8Weight(NamedTuple):
    """A matrix in 8 bits.

    Attributes:
        integers: From -127 to 127.
        scales: What an integer counts, of each group of inputs.
    """

    integers: Int8[Tensor, "outputs inputs"]
    scales: Float[Tensor, "outputs groups"]


def quantize(weight: Float[Tensor, "outputs inputs"]) -> Int8Weight:
    """The nearest integers, and their scales. A group of zeros has the scale 0."""
    groups = _in_groups(weight.float())
    scales = groups.abs().amax(-1) / LARGEST
    steps = torch.where(scales > 0, scales, 1.0)
    integers = (groups / steps[..., None]).round().to(torch.int8)
    return Int8Weight(integers.flatten(1)[:, : weight.shape[1]].contiguous(), scales)


def dequantize(weight: Int8Weight) -> Float[Tensor, "outputs inputs"]:
    """The numbers that the integers stand for, float32."""
    groups = _in_groups(weight.integers) * weight.scales[..., None]
    return groups.flatten(1)[:, : weight.integers.shape[1]]


def squared_error(weight: Float[Tensor, "outputs inputs"], kept: Int8Weight) -> tuple[float, float]:
    """The sums of the squares of what was lost, and of what there was: those of several add up."""
    exact = weight.double()
    return float((dequantize(kept) - exact).square().sum()), float(exact.square().sum())


def _in_groups(matrix: Tensor) -> Tensor:
    """`[outputs, groups, GROUP]`, the last group filled up with zeros."""
    outputs, inputs = matrix.shape
    return pad(matrix, (0, -inputs % GROUP)).view(outputs, -1, GROUP)
