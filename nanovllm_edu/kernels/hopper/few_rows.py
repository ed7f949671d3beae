"""`FewRowsGemm`: binds `few_rows.cu` to operands, and launches it.

The same in Triton, with references in torch: `norm_project.py`, `norm_gate_up.py` and
`project_add.py` of `kernels/triton/`. Read next: `few_rows.cu`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from nanovllm_edu.kernels.hopper.compiler import Arguments, HopperKernel

UNIT = 32
"""Of the depth: what a warp loads at once of a row."""
PART = 16
"""Columns of the residual whose squares are summed up together."""
MOST_ROWS = 16
"""With more, x comes from L2 so often that `gemm.cu` is faster."""
REGISTERS = 65_536
"""Of a multiprocessor."""


@dataclass(frozen=True)
class FewRowsTiles:
    """How one GEMM is cut; `fused_decode/gemm_candidates.py` says how it can be.

    Attributes:
        m: Rows: a multiple of 8.
        n: Columns of a block: rows of w.
        warps: Of a block; they take parts of the depth in turns.
        units: Of 32 numbers of the depth that each warp has under way.
        splits: Blocks that share a depth, of one cluster.
    """

    m: int
    n: int
    warps: int
    units: int
    splits: int

    def fits(self, kind: str, num_columns: int, depth: int) -> bool:
        """Whether a GEMM of this shape can be cut so."""
        return num_columns % self.columns(kind) == 0 and depth % (self.splits * UNIT) == 0

    def columns(self, kind: str) -> int:
        """Columns of the result that a block makes: half as many where they are gates and ups."""
        return self.n // 2 if kind == "GATE_UP" else self.n

    @property
    def registers(self) -> int:
        """Of a thread, about: operands under way, sums, and the rest."""
        tiles, eights = self.n // 16, self.m // 8
        return 4 * self.units * (2 * tiles + eights) + 4 * eights * (tiles + 1) + 28

    @property
    def blocks(self) -> int:
        """Of a multiprocessor, for which the compiler must leave registers."""
        return max(1, REGISTERS // (32 * self.warps * self.registers))

    @property
    def shared_bytes(self) -> int:
        """Of a block: the sums of its warps."""
        return 4 * self.warps * self.m * (self.n + 5)


class FewRowsGemm:
    """One GEMM bound to its operands.

    Args:
        kind: "PROJECT", "GATE_UP", "ADD" or "PLAIN".
        x: bf16 [M, K], M at most `tiles.m`.
        w: bf16 [N, K]; for GATE_UP [2 N, K], all gates first.
        out: bf16 [M, N]; for ADD the residual stream, which is added to.
        squares: float32 [M, N / 16], written by ADD.
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
        squares: Tensor | None,
        tiles: FewRowsTiles,
        *,
        eps: float = 0.0,
        weighted: Tensor | None = None,
        norm_weight: Tensor | None = None,
    ) -> None:
        (num_rows, depth), num_columns = x.shape, out.shape[1]
        assert num_rows <= tiles.m
        assert tiles.fits(kind, num_columns, depth)
        assert x.is_contiguous() and w.is_contiguous() and out.is_contiguous()
        assert kind != "ADD" or (squares is not None and squares.shape[1] * PART == num_columns)
        self._kernel = compiled(kind, depth, num_columns, tiles, x.device.index)
        self._grid = (num_columns // tiles.columns(kind), 1, tiles.splits)
        self._num_threads = 32 * tiles.warps
        numbers = (ctypes.c_int(num_rows), ctypes.c_float(eps))
        self._arguments = Arguments((x, w, out, squares, weighted, norm_weight, *numbers))

    def launch(self, is_overlapped: bool = True) -> None:
        """Puts the kernel on torch's current stream."""
        self._kernel.launch(self._grid, self._num_threads, self._arguments, is_overlapped)


@cache
def compiled(
    kind: str, depth: int, num_columns: int, tiles: FewRowsTiles, device: int
) -> HopperKernel:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    return HopperKernel("few_rows", constants_of(kind, depth, num_columns, tiles))


def constants_of(kind: str, depth: int, num_columns: int, tiles: FewRowsTiles) -> dict[str, object]:
    """What the source calls by names in capitals."""
    return {
        "KIND": kind, "K": depth, "COLUMNS": num_columns, "BM": tiles.m, "BN": tiles.n,
        "WARPS": tiles.warps, "UNITS": tiles.units, "SPLITS": tiles.splits,
        "BLOCKS": tiles.blocks,
    }  # fmt: skip
