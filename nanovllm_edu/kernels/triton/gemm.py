"""The tile of a GEMM in which weights are streamed past a few rows of activations.

    x [M, K]   w [N, K], as `nn.Linear` stores it   ->   x w^T [M, N]

With few rows, the time is that of reading `w` once. Three things help:

- Where the whole depth fits into registers there is no loop: all loads are in flight at once, and
  those of the weights, which depend on nothing, may be issued while the kernel before this one is
  still at work (see `launch.py`).
- Else the loop keeps several tiles of both operands in flight (`num_stages`).
- A tile of 16 x 8 outputs has too little parallelism for four warps: each would wait for its own
  chain of K / 16 dependent matrix instructions. So the depth is cut into LANES parts that the warps
  take one each, as a batched product whose results are added at the end:

      [16, K] x [K, 8]   =   sum over lanes of   [LANES, 16, K / LANES] x [LANES, K / LANES, 8]

- One row alone needs no matrix units: each weight is used once, where it arrives (`m` = 1).

Knows nothing of norms and activations. Read next: `residual.py`.
"""

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from nanovllm_edu.kernels.triton.launch import allow_successor, wait_for_predecessor


@dataclass(frozen=True)
class Tiles:
    """How one GEMM is cut; `fused_decode/gemm_candidates.py` has those that are used.

    Attributes:
        m: Rows of a tile.
        n: Columns of a tile.
        k: Depth of one step of the loop, per lane.
        lanes: Parts of the depth that a program's warps work on side by side; 1 for big tiles.
        splits: Parts of the depth that different programs work on, at most.
        num_warps: Warps of a program.
        num_stages: Loads in flight.
    """

    m: int
    n: int
    k: int
    lanes: int
    splits: int
    num_warps: int
    num_stages: int

    def splits_of(self, depth: int) -> int:
        """The most parts, up to `splits`, into which a depth divides evenly."""
        return next(parts for parts in range(self.splits, 0, -1) if depth % parts == 0)

    def as_constants(self, depth: int) -> dict[str, Any]:
        """Keyword arguments of a launch, for a GEMM that is `depth` deep per split."""
        return {
            "BLOCK_M": self.m,
            "BLOCK_N": self.n,
            "BLOCK_K": self.k,
            "LANES": self.lanes,
            "IS_ONE_STEP": self.lanes > 1 and self.k * self.lanes >= depth,
            "IS_WHOLE": depth % (self.k * self.lanes) == 0,
            "NUM_STAGES": self.num_stages,
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
        }


@triton.jit
def gemm(
    x_ptr, w_ptr, rows, columns, num_rows, k_begin, k_end,
    K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    LANES: tl.constexpr, IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr,
    NUM_STAGES: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Tile `rows` x `columns` of x w^T over depth [k_begin, k_end): float32 [BLOCK_M, BLOCK_N].

    Rows from `num_rows` on count as zeros. IS_WHOLE: the depth is a multiple of a loop step.
    It waits for the predecessor itself, because the weights of IS_ONE_STEP need not.
    """
    if BLOCK_M == 1:
        return _row_gemm(x_ptr, w_ptr, rows, columns, k_begin, k_end, K, BLOCK_K, IS_WHOLE, OVERLAP)
    x_depths = (tl.arange(0, LANES) * BLOCK_K)[:, None, None] + tl.arange(0, BLOCK_K)
    w_depths = tl.trans(x_depths, 0, 2, 1)
    x_pointers = x_ptr + rows[None, :, None] * K + x_depths
    w_pointers = w_ptr + columns[None, None, :].to(tl.int64) * K + w_depths
    is_row = (rows < num_rows)[None, :, None]
    if IS_ONE_STEP:
        x_mask = is_row
        if IS_WHOLE:
            w = tl.load(w_pointers + k_begin)
        else:
            w = tl.load(w_pointers + k_begin, mask=k_begin + w_depths < k_end, other=0.0)
            x_mask = is_row & (k_begin + x_depths < k_end)
        allow_successor(OVERLAP)
        wait_for_predecessor(OVERLAP)
        x = tl.load(x_pointers + k_begin, mask=x_mask, other=0.0)
        return tl.sum(tl.dot(x, w, input_precision="ieee"), axis=0)
    elif LANES == 1:
        wait_for_predecessor(OVERLAP)
        acc = _shallow_gemm(
            x_ptr, w_ptr, rows, columns, num_rows, k_begin, k_end,
            K, BLOCK_M, BLOCK_N, BLOCK_K, IS_WHOLE, NUM_STAGES,
        )  # fmt: skip
        allow_successor(OVERLAP)
        return acc
    else:
        wait_for_predecessor(OVERLAP)
        acc = tl.zeros([LANES, BLOCK_M, BLOCK_N], tl.float32)
        for first in tl.range(k_begin, k_end, LANES * BLOCK_K, num_stages=NUM_STAGES):
            if IS_WHOLE:
                x = tl.load(x_pointers + first, mask=is_row, other=0.0)
                w = tl.load(w_pointers + first)
            else:
                x_mask = is_row & (first + x_depths < k_end)
                x = tl.load(x_pointers + first, mask=x_mask, other=0.0)
                w = tl.load(w_pointers + first, mask=first + w_depths < k_end, other=0.0)
            acc = tl.dot(x, w, acc, input_precision="ieee")
        allow_successor(OVERLAP)
        return tl.sum(acc, axis=0)


@triton.jit
def _row_gemm(
    x_ptr, w_ptr, rows, columns, k_begin, k_end,
    K: tl.constexpr, BLOCK_K: tl.constexpr, IS_WHOLE: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One row. The first weights are on their way before the row exists."""
    depths = k_begin + tl.arange(0, BLOCK_K)
    x_pointers = x_ptr + rows[:, None] * K + depths[None, :]
    w_pointers = w_ptr + columns[:, None].to(tl.int64) * K + depths[None, :]
    is_inside = (depths < k_end)[None, :]
    w = tl.load(w_pointers) if IS_WHOLE else tl.load(w_pointers, mask=is_inside, other=0.0)
    allow_successor(OVERLAP)
    wait_for_predecessor(OVERLAP)
    x = tl.load(x_pointers, mask=is_inside, other=0.0)
    acc = tl.sum(x.to(tl.float32) * w.to(tl.float32), axis=1)
    for first in range(BLOCK_K, k_end - k_begin, BLOCK_K):
        is_inside = (first + depths < k_end)[None, :]
        x = tl.load(x_pointers + first, mask=is_inside, other=0.0)
        w = tl.load(w_pointers + first, mask=is_inside, other=0.0)
        acc += tl.sum(x.to(tl.float32) * w.to(tl.float32), axis=1)
    return acc[None, :]


@triton.jit
def _shallow_gemm(
    x_ptr, w_ptr, rows, columns, num_rows, k_begin, k_end,
    K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
):  # fmt: skip
    """One lane, and a loop over the depth: what big tiles want."""
    depths = tl.arange(0, BLOCK_K)
    x_pointers = x_ptr + rows[:, None] * K + depths[None, :]
    w_pointers = w_ptr + columns[None, :].to(tl.int64) * K + depths[:, None]
    is_row = (rows < num_rows)[:, None]
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for first in tl.range(k_begin, k_end, BLOCK_K, num_stages=NUM_STAGES):
        if IS_WHOLE:
            x = tl.load(x_pointers + first, mask=is_row, other=0.0)
            w = tl.load(w_pointers + first)
        else:
            is_inside = first + depths < k_end
            x = tl.load(x_pointers + first, mask=is_row & is_inside[None, :], other=0.0)
            w = tl.load(w_pointers + first, mask=is_inside[:, None], other=0.0)
        acc = tl.dot(x, w, acc, input_precision="ieee")
    return acc
