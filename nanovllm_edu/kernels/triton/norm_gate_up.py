"""The MLP's first half in one kernel: `silu(gate) * up`, of gate_up = (residual w^T) / rms.

    residual [M, K]   w [2 N, K]: N gates, then N ups   ->   out [M, N]

`reference` is the norm, the GEMM, the gate. Read next: `project_add.py`.
"""

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.kernels.triton import norm_project
from nanovllm_edu.kernels.triton.activation import silu
from nanovllm_edu.kernels.triton.gemm import Tiles, gemm
from nanovllm_edu.kernels.triton.residual import Residual, inverse_rms, launch_normed
from nanovllm_edu.layers.ops import TorchOps


@triton.jit(do_not_specialize=["num_rows"])
def _norm_gate_up_kernel(
    x_ptr, squares_ptr, w_ptr, out_ptr, num_rows, eps,
    N: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One tile of `out`: gates and ups from one GEMM, scaled, then multiplied."""
    # Even columns of the tile are gates, odd ones the matching ups: one product makes both.
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    pairs = tl.arange(0, BLOCK_N)
    columns = tl.program_id(0) * (BLOCK_N // 2) + pairs // 2 + (pairs % 2) * N

    acc = gemm(
        x_ptr, w_ptr, rows, columns, num_rows, 0, K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    acc *= inverse_rms(squares_ptr, rows, num_rows, eps, K, PARTS, BLOCK_PARTS)[:, None]
    gate, up = tl.split(tl.reshape(acc, [BLOCK_M, BLOCK_N // 2, 2]))
    out = (silu(gate) * up).to(out_ptr.dtype.element_ty)
    out_columns = tl.program_id(0) * (BLOCK_N // 2) + tl.arange(0, BLOCK_N // 2)
    out_pointers = out_ptr + rows[:, None] * N + out_columns[None, :]
    tl.store(out_pointers, out, mask=(rows < num_rows)[:, None])


def norm_gate_up(
    residual: Residual, w: Tensor, out: Tensor, eps: float, tiles: Tiles, options: dict[str, object]
) -> None:
    """`out = silu(gate) * up` of `norm(residual) w^T`: [M, K] x [2 N, K] -> [M, N]."""
    launch_normed(_norm_gate_up_kernel, residual, w, out, eps, tiles, tiles.n // 2, options)


def reference(
    residual: Float[Tensor, "rows hidden"],
    norm_weight: Float[Tensor, " hidden"],
    w: Float[Tensor, "twice_intermediate hidden"],
    eps: float,
) -> Float[Tensor, "rows intermediate"]:
    """The MLP's first half."""
    return TorchOps().silu_and_mul(norm_project.reference(residual, norm_weight, w, eps))
