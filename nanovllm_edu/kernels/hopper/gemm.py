"""`HopperGemm`: binds `gemm.cu` to operands, and launches it.

A tensor map describes a matrix to the copy engine: its address and shape, and the box that one copy
moves. It is made once per operand, since addresses here never change.

The same in Triton, with references in torch: `norm_project.py`, `norm_gate_up.py` and
`project_add.py` of `kernels/triton/`. Read next: `gemm.cu`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.kernels.hopper.compiler import Arguments, HopperKernel, tensor_map

DEPTH = 64
"""Columns of x and w in one tile: 128 bytes, the widest that the copy engine can swizzle."""
PART = 64
"""Columns of the residual whose squares are summed up together."""


@dataclass(frozen=True)
class HopperTiles:
    """How one GEMM is cut; `fused_decode/gemm_candidates.py` says how it can be.

    Attributes:
        m: Rows of a block: 64 or 128.
        n: Columns of a block.
        splits: Blocks that share a depth, of one cluster.
        cluster_n: Blocks of a cluster, side by side, that share their rows of x.
        cluster_m: Blocks of a cluster, one below the other, that share their columns of w.
        stages: Tiles in flight.
    """

    m: int
    n: int
    splits: int
    cluster_n: int
    cluster_m: int
    stages: int

    def fits(self, kind: str, num_columns: int, depth: int) -> bool:
        """Whether a GEMM of this shape can be cut so."""
        width = self.columns(kind) * self.cluster_n
        has_parts = kind != "ADD" or self.n % PART == 0
        return num_columns % width == 0 and depth % (self.splits * DEPTH) == 0 and has_parts

    def columns(self, kind: str) -> int:
        """Columns of the result that a block makes: half of those of a tile of gates and ups."""
        return self.n // 2 if kind == "GATE_UP" else self.n

    @property
    def num_threads(self) -> int:
        """Of a block: four warps per 64 rows, and the producer."""
        return 2 * self.m + 32

    @property
    def shared_bytes(self) -> int:
        """Of a block: the ring of tiles."""
        return self.stages * (self.m + self.n) * DEPTH * 2


class HopperGemm:
    """One GEMM bound to its operands.

    Args:
        kind: "PROJECT", "GATE_UP", "ADD" or "PLAIN".
        x: bf16 [M, K].
        w: bf16 [N, K]; for GATE_UP [2 N, K], all gates first.
        out: bf16 [M, N]; for ADD the residual stream, which is added to.
        squares: float32 [M, hidden / 64]: read by PROJECT and GATE_UP, written by ADD.
        tiles: How to cut it.
        eps: Of the norm.
        weighted: bf16 [M, N], for ADD: `out * norm_weight`, if that is given.
        norm_weight: bf16 [N].
    """

    def __init__(
        self,
        kind: str,
        x: Tensor,
        w: Tensor,
        out: Tensor,
        squares: Tensor,
        tiles: HopperTiles,
        *,
        eps: float = 0.0,
        weighted: Tensor | None = None,
        norm_weight: Tensor | None = None,
    ) -> None:
        num_rows, depth = x.shape
        num_columns = out.shape[1]
        columns_of_tile = tiles.columns(kind)
        assert tiles.fits(kind, num_columns, depth)
        width = num_columns if kind == "ADD" else depth
        assert kind == "PLAIN" or squares.shape[1] * PART == width
        self._kernel = compiled(kind, depth, num_columns, tiles, x.device.index)
        self._grid = (
            num_columns // columns_of_tile,
            _round_up(-(-num_rows // tiles.m), tiles.cluster_m),
            tiles.splits,
        )
        self._tiles = tiles
        self._operands = (x, w)  # whose addresses are in the maps
        maps = (
            _map_of(x, tiles.m // tiles.cluster_n),
            _map_of(w, columns_of_tile // tiles.cluster_m),
        )
        numbers = (ctypes.c_int(num_rows), ctypes.c_float(eps))
        self._arguments = Arguments((*maps, out, squares, weighted, norm_weight, *numbers))

    def launch(self, is_overlapped: bool = True) -> None:
        """Puts the kernel on torch's current stream."""
        self._kernel.launch(self._grid, self._tiles.num_threads, self._arguments, is_overlapped)


def _map_of(matrix: Tensor, box_rows: int) -> Any:
    """Describes a bf16 matrix [rows, K] to the copy engine, in boxes of `box_rows` x 64."""
    rows, depth = matrix.shape
    assert matrix.dtype == torch.bfloat16
    assert matrix.is_contiguous()
    return tensor_map(matrix.data_ptr(), (depth, rows), (depth,), (DEPTH, box_rows))


@cache
def compiled(
    kind: str, depth: int, num_columns: int, tiles: HopperTiles, device: int
) -> HopperKernel:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    constants = constants_of(kind, depth, num_columns, tiles)
    return HopperKernel("gemm", constants, wgmma(tiles.n), tiles.shared_bytes)


def constants_of(kind: str, depth: int, num_columns: int, tiles: HopperTiles) -> dict[str, object]:
    """What the source calls by names in capitals."""
    return {
        "KIND": kind, "K": depth, "COLUMNS": num_columns, "BM": tiles.m, "BN": tiles.n,
        "SPLITS": tiles.splits, "CLUSTER_N": tiles.cluster_n, "CLUSTER_M": tiles.cluster_m,
        "STAGES": tiles.stages,
    }  # fmt: skip


def wgmma(n: int) -> str:
    """A macro for the matrix instruction of 64 x n outputs, n / 2 registers of each thread."""
    count = n // 2
    registers = ", ".join(f"%{i}" for i in range(count))
    outputs = ", ".join(f'"+f"(acc[{i}])' for i in range(count))
    return (
        f'#define WGMMA(acc, a, b, keep) asm volatile("{{ .reg .pred p; setp.ne.b32 p, %{count + 2}'
        f", 0; wgmma.mma_async.sync.aligned.m64n{n}k16.f32.bf16.bf16 {{{registers}}}, %{count}, "
        f'%{count + 1}, p, 1, 1, 0, 0; }}" : {outputs} : "l"(a), "l"(b), "r"((int)(keep)))\n'
    )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
