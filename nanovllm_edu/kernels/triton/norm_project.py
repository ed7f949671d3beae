"""A GEMM of the normed residual: `(residual w^T) / rms`, the qkv projection.

    residual [M, K]   squares [M, parts]   w [N, K], the norm's weight folded in   ->   out [M, N]

`reference` is the norm, then the GEMM. Read next: `norm_gate_up.py`.
"""

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.kernels.triton.gemm import Tiles, gemm
from nanovllm_edu.kernels.triton.residual import Residual, inverse_rms, launch_normed
from nanovllm_edu.layers.ops import TorchOps


@triton.jit(do_not_specialize=["num_rows"])
def _norm_project_kernel(
    x_ptr, squares_ptr, w_ptr, out_ptr, num_rows, eps,
    N: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One tile of `out`: a tile of the GEMM, then each row's scale."""
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)

    acc = gemm(
        x_ptr, w_ptr, rows, columns, num_rows, 0, K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    scale = inverse_rms(squares_ptr, rows, num_rows, eps, K, PARTS, BLOCK_PARTS)
    out = (acc * scale[:, None]).to(out_ptr.dtype.element_ty)
    out_pointers = out_ptr + rows[:, None] * N + columns[None, :]
    tl.store(out_pointers, out, mask=(rows < num_rows)[:, None])


def norm_project(
    residual: Residual, w: Tensor, out: Tensor, eps: float, tiles: Tiles, options: dict[str, object]
) -> None:
    """`out = norm(residual) w^T`: [M, K] x [N, K] -> [M, N]."""
    launch_normed(_norm_project_kernel, residual, w, out, eps, tiles, tiles.n, options)


def reference(
    residual: Float[Tensor, "rows hidden"],
    norm_weight: Float[Tensor, " hidden"],
    w: Float[Tensor, "outputs hidden"],
    eps: float,
) -> Float[Tensor, "rows outputs"]:
    """The norm, then the product."""
    return TorchOps().rms_norm(residual, norm_weight, eps) @ w.T
