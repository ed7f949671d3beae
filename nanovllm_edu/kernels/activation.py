"""SiLU(gate) * up in one pass over the merged projection.

    gate_up [T, 2 N] = gate, then up   ->   out [T, N]

Torch twin: `layers/ops.py`, `TorchOps.silu_and_mul`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor


@triton.jit
def silu(x):
    """x * sigmoid(x), in float32."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _silu_and_mul_kernel(
    gate_up_ptr, out_ptr, gate_up_stride, N: tl.constexpr, BLOCK_N: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    is_column = columns < N
    row_ptr = gate_up_ptr + row * gate_up_stride
    gate = tl.load(row_ptr + columns, mask=is_column, other=0.0).to(tl.float32)
    up = tl.load(row_ptr + N + columns, mask=is_column, other=0.0).to(tl.float32)
    out = (silu(gate) * up).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + row * N + columns, out, mask=is_column)


def silu_and_mul(
    gate_up: Float[Tensor, "tokens twice_intermediate"],
) -> Float[Tensor, "tokens intermediate"]:
    """Return `silu(gate) * up`, where a row of `gate_up` is gate, then up."""
    num_tokens, width = gate_up.shape
    num_columns = width // 2
    out = torch.empty((num_tokens, num_columns), dtype=gate_up.dtype, device=gate_up.device)
    if num_tokens:
        block = min(1024, triton.next_power_of_2(num_columns))
        grid = (num_tokens, triton.cdiv(num_columns, block))
        _silu_and_mul_kernel[grid](
            gate_up, out, gate_up.stride(0), N=num_columns, BLOCK_N=block, num_warps=4
        )
    return out
