"""SiLU(gate) * up in one pass over the merged projection.

    gate_up [T, 2 N] = gate, then up   ->   out [T, N]

With `residual`, the projection was made of a row that is not normalised yet, and the norm's scale
is applied here: see `fused_decode/layer_gemms.py`.

Reference: `layers/ops.py`, `TorchOps.silu_and_mul`; with `residual`: `norm_gate_up.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.kernels.triton.launch import launch_options, wait_for_predecessor
from nanovllm_edu.kernels.triton.norm import inverse_rms_of


@triton.jit
def silu(x):
    """x * sigmoid(x), in float32."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _silu_and_mul_kernel(
    gate_up_ptr, residual_ptr, out_ptr, gate_up_stride, eps,
    N: tl.constexpr, BLOCK_N: tl.constexpr, HIDDEN: tl.constexpr, BLOCK_HIDDEN: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """A block of columns of one row; with HIDDEN > 0, the row's rms is divided out first."""
    wait_for_predecessor(OVERLAP)
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    is_column = columns < N
    row_ptr = gate_up_ptr + row * gate_up_stride
    gate = tl.load(row_ptr + columns, mask=is_column, other=0.0).to(tl.float32)
    up = tl.load(row_ptr + N + columns, mask=is_column, other=0.0).to(tl.float32)
    if HIDDEN > 0:
        factor = inverse_rms_of(residual_ptr + row * HIDDEN, eps, HIDDEN, BLOCK_HIDDEN)
        gate, up = gate * factor, up * factor
    out = (silu(gate) * up).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + row * N + columns, out, mask=is_column)


def silu_and_mul(
    gate_up: Float[Tensor, "tokens twice_intermediate"],
    residual: Float[Tensor, "tokens hidden"] | None = None,
    eps: float = 0.0,
    *,
    out: Float[Tensor, "tokens intermediate"] | None = None,
    is_overlapped: bool = False,
) -> Float[Tensor, "tokens intermediate"]:
    """Return `silu(gate) * up`, where a row of `gate_up` is gate, then up.

    Args:
        gate_up: The projection.
        residual: What was projected, if its rows must still be divided by their rms.
        eps: Of that norm.
        out: Where to put the result, if not in new memory.
        is_overlapped: Be launched before the projection has ended (needs Hopper, and a graph).
    """
    num_tokens, width = gate_up.shape
    num_columns = width // 2
    if out is None:
        out = torch.empty((num_tokens, num_columns), dtype=gate_up.dtype, device=gate_up.device)
    if num_tokens:
        block = min(1024, triton.next_power_of_2(num_columns))
        grid = (num_tokens, triton.cdiv(num_columns, block))
        hidden = 0 if residual is None else residual.shape[1]
        _silu_and_mul_kernel[grid](
            gate_up, residual, out, gate_up.stride(0), eps, N=num_columns, BLOCK_N=block,
            HIDDEN=hidden, BLOCK_HIDDEN=triton.next_power_of_2(max(hidden, 1)), num_warps=4,
            **launch_options(is_overlapped),
        )  # fmt: skip
    return out
