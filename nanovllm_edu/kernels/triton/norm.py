"""RMSNorm, alone and with the residual addition in front: one program per row, one pass.

    x [T, N]   residual [T, N]   weight [N]

`inverse_rms_of` is the norm's scale alone, for kernels that apply it to a GEMM of the row.

Reference: `layers/ops.py`, `TorchOps.rms_norm` and `add_rms_norm`.

Read next: `rope.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor


@triton.jit
def inverse_rms_of(row_ptr, eps, N: tl.constexpr, BLOCK_N: tl.constexpr):
    """1 / sqrt(mean square + eps) of the N numbers at `row_ptr`."""
    columns = tl.arange(0, BLOCK_N)
    x = tl.load(row_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)
    return tl.rsqrt(tl.sum(x * x, axis=0) / N + eps)


@triton.jit
def _rms_norm_kernel(
    x_ptr, residual_ptr, weight_ptr, out_ptr, sum_ptr,
    x_stride, residual_stride, eps,
    N: tl.constexpr, BLOCK_N: tl.constexpr, HAS_RESIDUAL: tl.constexpr,
):  # fmt: skip
    """One row: added to its residual if there is one, stored, normalised."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK_N)
    is_column = columns < N
    x = tl.load(x_ptr + row * x_stride + columns, mask=is_column, other=0.0)
    if HAS_RESIDUAL:
        x += tl.load(residual_ptr + row * residual_stride + columns, mask=is_column, other=0.0)
        tl.store(sum_ptr + row * N + columns, x, mask=is_column)
    # The addition rounds to the residual's dtype first: the norm must see what the residual stores.
    x = x.to(tl.float32)
    weight = tl.load(weight_ptr + columns, mask=is_column, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / N + eps)
    out = x * scale * weight
    tl.store(out_ptr + row * N + columns, out.to(out_ptr.dtype.element_ty), mask=is_column)


def rms_norm(
    x: Float[Tensor, "*rows dim"], weight: Float[Tensor, " dim"], eps: float
) -> Float[Tensor, "*rows dim"]:
    """Scale each row to a root mean square of 1, then by `weight`."""
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
    _launch(rows, None, weight, out, None, eps)
    return out.view(x.shape)


def add_rms_norm(
    x: Float[Tensor, "tokens dim"],
    residual: Float[Tensor, "tokens dim"],
    weight: Float[Tensor, " dim"],
    eps: float,
) -> tuple[Float[Tensor, "tokens dim"], Float[Tensor, "tokens dim"]]:
    """Return `(norm(x + residual), x + residual)`."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    total = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _launch(x, residual, weight, out, total, eps)
    return out, total


def _launch(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    out: Tensor,
    total: Tensor | None,
    eps: float,
) -> None:
    num_rows, dim = x.shape
    if num_rows == 0:
        return
    block = triton.next_power_of_2(dim)
    _rms_norm_kernel[(num_rows,)](
        x, residual, weight, out, total,
        x.stride(0), 0 if residual is None else residual.stride(0), eps,
        N=dim, BLOCK_N=block, HAS_RESIDUAL=residual is not None,
        num_warps=min(8, max(1, block // 256)),
    )  # fmt: skip
