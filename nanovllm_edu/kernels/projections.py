"""The four matrix products of a decoder layer, each with what surrounds it folded in.

RMSNorm is `x * g / rms(x)`. Its weight g is folded into the product that follows (`weights.py`),
and the division is one number per row, so it can wait until after the product: `(x w^T) / rms(x)`.
`rms` follows from sums of squares, which whoever writes the residual stream leaves beside it. So no
kernel for norms remains:

    project_add       residual += x w^T;  also its squares
    norm_project      (residual w^T) / rms                                the qkv projection
    norm_gate_up      silu(gate) * up, of gate_up = (residual w^T) / rms  the MLP's first half

Only the last norm's weight cannot be folded, because the product after it is the embedding. The
last `project_add` multiplies by it.

`squares[row, tile]` is the sum over one tile's columns: whoever needs the whole sum adds the tiles
up, always in the same order. There are no floating-point atomics in this package.

Torch twins: `twins.py`. Read next: `lm_head.py`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.activation import silu
from nanovllm_edu.kernels.matmul import Tiles, product


@dataclass(frozen=True)
class Stream:
    """The residual stream of M rows, ready for the next norm.

    Attributes:
        residual: [M, hidden]
        weighted: [M, hidden], after the last layer: `residual * weight` of the last norm.
        squares: float32 [M, parts], partial sums of `residual ** 2`.
    """

    residual: Tensor
    weighted: Tensor
    squares: Tensor

    @classmethod
    def allocate(
        cls, num_rows: int, hidden: int, num_parts: int, dtype: torch.dtype, device: torch.device
    ) -> "Stream":
        """Uninitialised memory."""
        return cls(
            torch.empty(num_rows, hidden, dtype=dtype, device=device),
            torch.empty(num_rows, hidden, dtype=dtype, device=device),
            torch.empty(num_rows, num_parts, dtype=torch.float32, device=device),
        )


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


@triton.jit(do_not_specialize=["num_rows"])
def _norm_project_kernel(
    x_ptr, squares_ptr, w_ptr, out_ptr, num_rows, eps,
    N: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)

    acc = product(
        x_ptr, w_ptr, rows, columns, num_rows, 0, K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    scale = inverse_rms(squares_ptr, rows, num_rows, eps, K, PARTS, BLOCK_PARTS)
    out = (acc * scale[:, None]).to(out_ptr.dtype.element_ty)
    out_pointers = out_ptr + rows[:, None] * N + columns[None, :]
    tl.store(out_pointers, out, mask=(rows < num_rows)[:, None])


@triton.jit(do_not_specialize=["num_rows"])
def _norm_gate_up_kernel(
    x_ptr, squares_ptr, w_ptr, out_ptr, num_rows, eps,
    N: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    # Even columns of the tile are gates, odd ones the matching ups: one product makes both.
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    pairs = tl.arange(0, BLOCK_N)
    columns = tl.program_id(0) * (BLOCK_N // 2) + pairs // 2 + (pairs % 2) * N

    acc = product(
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


@triton.jit(do_not_specialize=["num_rows"])
def _project_add_kernel(
    x_ptr, w_ptr, residual_ptr, weighted_ptr, squares_ptr, norm_weight_ptr,
    partial_ptr, arrivals_ptr, num_rows,
    N: tl.constexpr, K: tl.constexpr, SPLITS: tl.constexpr, HAS_NORM: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    PARTS: tl.constexpr = N // BLOCK_N
    SPLIT_K: tl.constexpr = K // SPLITS
    part = tl.program_id(0)
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = part * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(2)
    k_begin = split * SPLIT_K

    mask = (rows < num_rows)[:, None] & (columns < N)[None, :]
    cells = rows[:, None] * N + columns[None, :]
    acc = product(
        x_ptr, w_ptr, rows, columns, num_rows, k_begin, k_begin + SPLIT_K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    if SPLITS > 1:  # the last program to arrive adds up what all of them left, in their order
        tl.store(partial_ptr + split * num_rows * N + cells, acc, mask=mask)
        tl.debug_barrier()  # all threads' stores first, then the one thread that announces them
        tile = tl.program_id(1) * PARTS + part
        num_earlier = tl.atomic_add(arrivals_ptr + tile, 1, sem="acq_rel")
        mask = mask & (tl.full([BLOCK_M, 1], SPLITS - 1, tl.int32) == num_earlier)
        tl.store(arrivals_ptr + tile, 0, mask=num_earlier == SPLITS - 1)
        acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
        for index in tl.static_range(SPLITS):
            pointers = partial_ptr + index * num_rows * N + cells
            acc += tl.load(pointers, mask=mask, other=0.0, cache_modifier=".cg")

    residual = tl.load(residual_ptr + cells, mask=mask, other=0.0).to(tl.float32) + acc
    residual = residual.to(residual_ptr.dtype.element_ty)
    tl.store(residual_ptr + cells, residual, mask=mask)
    residual = residual.to(tl.float32)  # the norm must see what the stream stores
    if HAS_NORM:
        norm_weight = tl.load(norm_weight_ptr + columns).to(tl.float32)
        weighted = (residual * norm_weight[None, :]).to(weighted_ptr.dtype.element_ty)
        tl.store(weighted_ptr + cells, weighted, mask=mask)
    is_mine = tl.max(mask.to(tl.int32), axis=1) > 0
    tl.store(squares_ptr + rows * PARTS + part, tl.sum(residual * residual, axis=1), mask=is_mine)


def norm_project(
    stream: Stream, w: Tensor, out: Tensor, eps: float, tiles: Tiles, options: dict[str, object]
) -> None:
    """`out = norm(residual) w^T`: [M, K] x [N, K] -> [M, N]."""
    _launch_normed(_norm_project_kernel, stream, w, out, eps, tiles, tiles.n, options)


def norm_gate_up(
    stream: Stream, w: Tensor, out: Tensor, eps: float, tiles: Tiles, options: dict[str, object]
) -> None:
    """`out = silu(gate) * up` of `norm(residual) w^T`: [M, K] x [2 N, K] -> [M, N]."""
    _launch_normed(_norm_gate_up_kernel, stream, w, out, eps, tiles, tiles.n // 2, options)


def _launch_normed(kernel, stream, w, out, eps, tiles, columns_per_tile, options) -> None:
    num_rows, num_columns = out.shape
    depth = w.shape[1]
    num_parts = stream.squares.shape[1]
    assert num_columns % columns_per_tile == 0
    assert tiles.splits == 1
    kernel[(num_columns // columns_per_tile, triton.cdiv(num_rows, tiles.m))](
        stream.residual, stream.squares, w, out, num_rows, eps,
        N=num_columns, K=depth, PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(num_parts),
        **tiles.as_constants(depth), **options,
    )  # fmt: skip


def project_add(
    x: Tensor,
    w: Tensor,
    stream: Stream,
    scratch: "SplitScratch",
    tiles: Tiles,
    options: dict[str, object],
    norm_weight: Tensor | None = None,
) -> None:
    """`residual += x w^T`, in place, with its squares; `weighted` too if `norm_weight` is given."""
    num_rows = x.shape[0]
    num_columns, depth = w.shape
    assert num_columns % tiles.n == 0
    assert stream.squares.shape[1] == num_columns // tiles.n
    splits = tiles.splits_of(depth)
    grid = (num_columns // tiles.n, triton.cdiv(num_rows, tiles.m), splits)
    _project_add_kernel[grid](
        x, w, stream.residual, stream.weighted, stream.squares, norm_weight,
        scratch.partial, scratch.arrivals, num_rows,
        N=num_columns, K=depth, SPLITS=splits, HAS_NORM=norm_weight is not None,
        **tiles.as_constants(depth // splits), **options,
    )  # fmt: skip


@dataclass(frozen=True)
class SplitScratch:
    """Where the splits of a product meet.

    Attributes:
        partial: float32, at least splits * M * N numbers.
        arrivals: int32, one per tile, zero between kernels.
    """

    partial: Tensor
    arrivals: Tensor

    @classmethod
    def allocate(
        cls, num_rows: int, num_columns: int, tiles: tuple[Tiles, ...], device: torch.device
    ) -> "SplitScratch":
        """Enough for each of `tiles` in turn."""
        splits = max(t.splits for t in tiles)
        programs = max(triton.cdiv(num_rows, t.m) * (num_columns // t.n) for t in tiles)
        return cls(
            torch.empty(splits * num_rows * num_columns, dtype=torch.float32, device=device),
            torch.zeros(programs, dtype=torch.int32, device=device),
        )
