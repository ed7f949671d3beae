"""`PackedMatrix`: a GEMM with a weight that was rearranged once for torch's matrix kernels.

It serves CPUs where our own GEMM in C (`native/gemm.c`) cannot be compiled.

A general GEMM rearranges its operands into tiles each time it is called. The weight never changes,
so oneDNN, which torch brings along, can keep it in tiles. torch has no public name for that: this
is the one file that calls private ones, and `reference` is what they compute.

What it brings, time without it over time with it, for the model in the box on two cores (one
thread and two; medians of eight runs):

    decode, 1 row        1.05   0.96        prefill of 1000 tokens       1.33   1.23
    decode, 16 rows      1.49   1.38        prefill of 4 x 1500 tokens   1.28   1.22
    decode, 64 rows      1.69   1.57

The price is memory: a float32 weight on a CPU is held twice once it was used. Elsewhere (GPUs,
16-bit weights, a torch without oneDNN) `reference` runs; `info` says which.

Read next: `linear.py`; `int8.py`, for weights of a quarter of the size.
"""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def reference(
    x: Float[Tensor, "rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None = None,
) -> Float[Tensor, "rows outputs"]:
    """`x @ weight.T + bias`, by torch's public name for it."""
    return F.linear(x, weight, bias)


class Gemm(Protocol):
    """Who multiplies with one weight."""

    def __call__(
        self,
        x: Float[Tensor, "rows inputs"],
        weight: Float[Tensor, "outputs inputs"],
        bias: Float[Tensor, " outputs"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """See `reference`."""
        ...


class PackedMatrix:
    """Keeps one weight in tiles; packs it when first used, and again if it was written to."""

    def __init__(self) -> None:
        self._key: tuple[int, int] | None = None
        self._tiles: Tensor | None = None

    def __call__(
        self,
        x: Float[Tensor, "rows inputs"],
        weight: Float[Tensor, "outputs inputs"],
        bias: Float[Tensor, " outputs"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """See `reference`."""
        if not can_pack(weight) or x.requires_grad or weight.requires_grad:
            return reference(x, weight, bias)
        key = (weight.data_ptr(), weight._version)
        if self._key != key:
            self._tiles = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), TYPICAL_ROWS)
            self._key = key
        return torch.ops.mkldnn._linear_pointwise(x, self._tiles, bias, "none", [], "")

    def __deepcopy__(self, memo: object) -> "PackedMatrix":
        """Tiles are made anew, not copied."""
        return PackedMatrix()


TYPICAL_ROWS = 64
"""The number of rows that the tiles suit best."""


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN can keep this weight in tiles."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and not weight.is_inference()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def describe_products(weight: Tensor) -> tuple[str, str]:
    """What multiplies with a model's weights, of which this is one, and why."""
    if can_pack(weight):
        return "oneDNN, packed weights", "float32 on a CPU; each weight is held twice once used"
    if weight.device.type == "cpu":
        return "torch", f"only float32 weights are packed on a CPU, and these are {weight.dtype}"
    return "torch", "the GPU's library needs no packing"
