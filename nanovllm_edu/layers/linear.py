"""Matrices: one, or several of the same input merged into one.

Query, key and value projections read the same input. Stacked into one matrix they are one product
instead of three: fewer kernel launches and better use of the hardware, for the same numbers. A
checkpoint still names them apart, so a merged matrix can show each part as a view of its rows, and
whoever fills a model writes through those views.

Weights are left uninitialised here (`torch.empty`): a loader overwrites every number, and drawing
billions of random ones first would cost more than reading them.

Read next: `packed.py` (how a CPU multiplies), `rms_norm.py`.
"""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nanovllm_edu.layers.packed import Gemm, PackedMatrix


class Linear(nn.Module):
    """`x @ weight.T + bias`, with uninitialised weights.

    Args:
        in_features: Length of an input row.
        out_features: Length of an output row.
        bias: Whether a bias vector is added.
        dtype: The weights' dtype, which is the input's too.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, dtype=dtype)) if bias else None
        self.gemm: Gemm = PackedMatrix()

    def forward(self, x: Float[Tensor, "tokens inputs"]) -> Float[Tensor, "tokens outputs"]:
        """Multiply every row of `x`."""
        return self.gemm(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape
        return f"{inputs} -> {outputs}, bias={self.bias is not None}"


class MergedLinear(Linear):
    """Several matrices of the same input, stacked by rows in the order of `parts`.

    Args:
        in_features: Length of an input row.
        parts: The number of rows of each part, by the name a checkpoint calls it.
        bias: Whether every part has a bias.
        dtype: The weights' dtype.
    """

    def __init__(
        self, in_features: int, parts: Mapping[str, int], *, bias: bool, dtype: torch.dtype
    ) -> None:
        super().__init__(in_features, sum(parts.values()), bias=bias, dtype=dtype)
        self.parts = dict(parts)

    def split(self, merged: Float[Tensor, "tokens outputs"]) -> tuple[Tensor, ...]:
        """Cut a result into the parts' results: views, nothing is copied."""
        return merged.split(list(self.parts.values()), dim=-1)

    def part_views(self) -> Iterator[tuple[str, Tensor]]:
        """Yield `("q_proj.weight", its rows)` and so on: views to fill the merged tensors by."""
        for kind, merged in self.named_parameters():
            rows = merged.split(list(self.parts.values()), dim=0)
            for part, view in zip(self.parts, rows, strict=True):
                yield f"{part}.{kind}", view

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, parts={self.parts}"
