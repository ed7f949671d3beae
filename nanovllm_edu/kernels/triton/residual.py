"""`Residual`: the residual stream of a decode step's rows, ready for the next norm.

RMSNorm is `x * g / rms(x)`. Its weight g is folded into the matrix that follows
(`fused_decode/weights.py`), and the division is one number per row, so it can wait until after the
GEMM: `(x w^T) / rms(x)`. `rms` follows from sums of squares, which whoever writes the residual
leaves beside it. So no kernel for norms remains:

    project_add.py     residual += x w^T;  also its squares
    norm_project.py    (residual w^T) / rms                                the qkv projection
    norm_gate_up.py    silu(gate) * up, of gate_up = (residual w^T) / rms  the MLP's first half

Only the last norm's weight cannot be folded, because the matrix after it is the embedding. The
last `project_add` multiplies by it.

`squares[row, tile]` is the sum over one tile's columns: whoever needs the whole sum adds the tiles
up, always in the same order. There are no floating-point atomics in these kernels.

Read next: `norm_project.py`.
"""

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.triton.gemm import Tiles


@dataclass(frozen=True)
class Residual:
    """The residual stream of M rows, ready for the next norm.

    Attributes:
        values: [M, hidden]
        weighted: [M, hidden], after the last layer: `values * weight` of the last norm.
        squares: float32 [M, parts], partial sums of `values ** 2`.
    """

    values: Tensor
    weighted: Tensor
    squares: Tensor


@triton.jit
def inverse_rms(
    squares_ptr, rows, num_rows, eps,
    DIM: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
):  # fmt: skip
    """1 / sqrt(mean square + eps) of each row."""
    parts = tl.arange(0, BLOCK_PARTS)
    mask = (rows < num_rows)[:, None] & (parts < PARTS)[None, :]
    squares = tl.load(squares_ptr + rows[:, None] * PARTS + parts[None, :], mask=mask, other=0.0)
    return tl.rsqrt(tl.sum(squares, axis=1) / DIM + eps)


def launch_normed(
    kernel: Any,
    residual: Residual,
    w: Tensor,
    out: Tensor,
    eps: float,
    tiles: Tiles,
    columns_per_tile: int,
    options: dict[str, object],
) -> None:
    """Launches a GEMM of the normed residual, `[M, K] x [N, K]`, one program per tile of `out`."""
    num_rows, num_columns = out.shape
    depth = w.shape[1]
    num_parts = residual.squares.shape[1]
    assert num_columns % columns_per_tile == 0
    assert tiles.splits == 1
    kernel[(num_columns // columns_per_tile, triton.cdiv(num_rows, tiles.m))](
        residual.values, residual.squares, w, out, num_rows, eps,
        N=num_columns, K=depth, PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(num_parts),
        **tiles.as_constants(depth), **options,
    )  # fmt: skip
