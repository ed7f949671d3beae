"""A GEMM that is added to the residual, and leaves the squares that the next norm needs.

    x [M, K]   w [N, K]   residual [M, N], added to in place   squares [M, parts], written

Where N is small, the depth is split between programs; the last to arrive adds the parts up. Where
other GPUs have the rest of the depth, `project_part` leaves the product for a sum over all of them.

`reference` is the addition alone. Read next: `embed.py`, `lm_head.py`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.kernels.triton.gemm import Tiles, gemm
from nanovllm_edu.kernels.triton.residual import Residual


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


@triton.jit(do_not_specialize=["num_rows"])
def _project_add_kernel(
    x_ptr, w_ptr, residual_ptr, weighted_ptr, squares_ptr, norm_weight_ptr,
    partial_ptr, arrivals_ptr, num_rows,
    N: tl.constexpr, K: tl.constexpr, SPLITS: tl.constexpr, HAS_NORM: tl.constexpr,
    IS_PART: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One tile of the residual, or with SPLITS > 1 a part of its depth."""
    PARTS: tl.constexpr = N // BLOCK_N
    SPLIT_K: tl.constexpr = K // SPLITS
    part = tl.program_id(0)
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = part * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(2)
    k_begin = split * SPLIT_K

    mask = (rows < num_rows)[:, None] & (columns < N)[None, :]
    cells = rows[:, None] * N + columns[None, :]
    acc = gemm(
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

    if IS_PART:
        tl.store(residual_ptr + cells, acc.to(residual_ptr.dtype.element_ty), mask=mask)
    else:  # in a branch of its own: what follows a `return` is compiled all the same
        residual = tl.load(residual_ptr + cells, mask=mask, other=0.0).to(tl.float32) + acc
        residual = residual.to(residual_ptr.dtype.element_ty)
        tl.store(residual_ptr + cells, residual, mask=mask)
        residual = residual.to(tl.float32)  # the norm must see what the residual stores
        if HAS_NORM:
            norm_weight = tl.load(norm_weight_ptr + columns).to(tl.float32)
            weighted = (residual * norm_weight[None, :]).to(weighted_ptr.dtype.element_ty)
            tl.store(weighted_ptr + cells, weighted, mask=mask)
        is_mine = tl.max(mask.to(tl.int32), axis=1) > 0
        squares = tl.sum(residual * residual, axis=1)
        tl.store(squares_ptr + rows * PARTS + part, squares, mask=is_mine)


def project_add(
    x: Tensor,
    w: Tensor,
    residual: Residual,
    scratch: "SplitScratch",
    tiles: Tiles,
    options: dict[str, object],
    norm_weight: Tensor | None = None,
) -> None:
    """`residual += x w^T`, in place, with its squares; `weighted` too if `norm_weight` is given."""
    assert residual.squares.shape[1] == w.shape[0] // tiles.n
    _launch(x, w, residual.values, residual, scratch, tiles, options, norm_weight)


def project_part(
    x: Tensor,
    w: Tensor,
    out: Tensor,
    scratch: "SplitScratch",
    tiles: Tiles,
    options: dict[str, object],
) -> None:
    """`out = x w^T`, which is a part of a sum."""
    _launch(x, w, out, None, scratch, tiles, options, None)


def _launch(
    x: Tensor,
    w: Tensor,
    out: Tensor,
    residual: Residual | None,
    scratch: "SplitScratch",
    tiles: Tiles,
    options: dict[str, object],
    norm_weight: Tensor | None,
) -> None:
    num_rows = x.shape[0]
    num_columns, depth = w.shape
    assert num_columns % tiles.n == 0
    splits = tiles.splits_of(depth)
    grid = (num_columns // tiles.n, triton.cdiv(num_rows, tiles.m), splits)
    weighted, squares = (None, None) if residual is None else (residual.weighted, residual.squares)
    _project_add_kernel[grid](
        x, w, out, weighted, squares, norm_weight, scratch.partial, scratch.arrivals, num_rows,
        N=num_columns, K=depth, SPLITS=splits, HAS_NORM=norm_weight is not None,
        IS_PART=residual is None, **tiles.as_constants(depth // splits), **options,
    )  # fmt: skip


def reference(
    x: Float[Tensor, "rows inputs"],
    w: Float[Tensor, "hidden inputs"],
    residual: Float[Tensor, "rows hidden"],
) -> Float[Tensor, "rows hidden"]:
    """The new residual residual."""
    return residual + x @ w.T
