"""Who makes what in a decode step of so many rows, and how it is cut: tables of measured constants.

The best tile depends on the number of rows, which decides what is scarce: with few rows, programs
to keep the memory busy; with many, the way between the L2 cache and the multiprocessors.
`benchmarks/gpu_kernels.py` tries a handful of tiles per shape on a GPU and prints the best; what it
found on an H200 for Qwen3-0.6B's shapes is written down here. Nothing is tuned at run time, so a
result never depends on a race between timings.

Tiles of the Hopper kernels were chosen inside a whole decode step (`benchmarks/hopper_tiles.py`),
because there a kernel also pays for the room that it takes from its neighbours: 64 blocks with all
of a multiprocessor's shared memory each leave the other multiprocessors to the next kernel's first
weights, and beat 128 smaller ones.

Read next: `decoder.py`.
"""

from dataclasses import dataclass

from nanovllm_edu.kernels.hopper.gemm import HopperTiles
from nanovllm_edu.kernels.measured import entry_for
from nanovllm_edu.kernels.triton.gemm import Tiles


@dataclass(frozen=True)
class GemmPlan:
    """Who makes a layer's four GEMMs, and how they are cut: None is for the library to decide.

    Our own kernels read a norm's sums of squares from the one of them that wrote the residual; the
    library leaves none.
    """

    qkv: Tiles | HopperTiles | None = None
    o: Tiles | HopperTiles | None = None
    gate_up: Tiles | HopperTiles | None = None
    down: Tiles | HopperTiles | None = None

    def __post_init__(self) -> None:
        assert self.qkv is None or self.down is not None
        assert self.gate_up is None or self.o is not None
        assert self.o is None or self.down is None or self.o.n == self.down.n

    def num_parts(self, hidden_size: int) -> int:
        """Sums of squares of a row: one per tile of whoever writes the residual."""
        tiles = self.o or self.down
        return 1 if tiles is None else hidden_size // tiles.n


LIBRARY = GemmPlan()


# rows: (m, n, k, lanes, splits, num_warps, num_stages)
_TRITON_PLANS: dict[int, GemmPlan] = {
    1: GemmPlan(
        qkv=Tiles(1, 16, 1024, 1, 1, 4, 1),
        o=Tiles(1, 8, 2048, 1, 1, 4, 1),
        gate_up=Tiles(1, 16, 1024, 1, 1, 4, 1),
        down=Tiles(1, 8, 4096, 1, 1, 8, 1),
    ),
    8: GemmPlan(
        qkv=Tiles(16, 32, 256, 4, 1, 4, 1),
        o=Tiles(16, 16, 256, 4, 2, 4, 1),
        gate_up=Tiles(16, 32, 256, 4, 1, 4, 1),
        down=Tiles(16, 16, 256, 4, 3, 4, 1),
    ),
    16: GemmPlan(
        qkv=Tiles(16, 32, 256, 4, 1, 4, 1),
        o=Tiles(16, 16, 256, 4, 2, 4, 1),
        gate_up=Tiles(16, 16, 256, 4, 1, 4, 1),
        down=Tiles(16, 16, 256, 4, 3, 4, 1),
    ),
    32: GemmPlan(
        qkv=Tiles(32, 32, 128, 1, 1, 4, 4),
        o=Tiles(32, 32, 128, 1, 4, 4, 4),
        gate_up=Tiles(32, 32, 128, 1, 1, 4, 4),
        down=Tiles(32, 32, 128, 1, 4, 4, 4),
    ),
    64: GemmPlan(
        qkv=Tiles(64, 32, 128, 1, 1, 4, 4),
        o=Tiles(64, 32, 128, 1, 4, 4, 4),
        gate_up=Tiles(64, 64, 64, 1, 1, 4, 4),
        down=Tiles(64, 32, 128, 1, 4, 4, 4),
    ),
}


# rows: (m, n, splits, cluster_n, cluster_m, stages)
HOPPER_PLANS: dict[int, GemmPlan] = {
    8: GemmPlan(
        qkv=HopperTiles(64, 64, 1, 2, 1, 14),
        o=HopperTiles(64, 64, 4, 2, 1, 8),
        gate_up=HopperTiles(64, 48, 1, 4, 1, 16),
        down=HopperTiles(64, 64, 4, 2, 1, 12),
    ),
    64: GemmPlan(
        qkv=HopperTiles(64, 64, 1, 2, 1, 14),
        o=HopperTiles(64, 64, 4, 2, 1, 7),
        gate_up=HopperTiles(64, 96, 1, 2, 1, 11),
        down=HopperTiles(64, 64, 4, 2, 1, 12),
    ),
    96: GemmPlan(
        qkv=HopperTiles(64, 64, 1, 4, 2, 7),
        o=HopperTiles(64, 64, 4, 2, 1, 7),
        gate_up=HopperTiles(128, 64, 1, 4, 1, 9),
        down=HopperTiles(128, 64, 4, 2, 1, 9),
    ),
    128: GemmPlan(
        qkv=HopperTiles(128, 64, 1, 2, 1, 9),
        o=HopperTiles(64, 64, 2, 2, 2, 14),
        gate_up=HopperTiles(128, 64, 1, 4, 1, 9),
        down=HopperTiles(128, 64, 4, 2, 1, 9),
    ),
    192: GemmPlan(
        o=HopperTiles(64, 64, 2, 4, 1, 14),
        gate_up=HopperTiles(128, 128, 1, 4, 2, 6),
    ),
    256: GemmPlan(
        o=HopperTiles(128, 64, 2, 2, 2, 9),
        gate_up=HopperTiles(128, 128, 1, 4, 2, 6),
    ),
}

MIN_HOPPER_ROWS = 5
"""With fewer rows Triton's GEMMs are faster."""


def plan_for(num_rows: int, has_hopper: bool = False) -> GemmPlan:
    """The plan of the smallest bucket that holds `num_rows`; more rows are for the library."""
    is_for_hopper = has_hopper and num_rows >= MIN_HOPPER_ROWS
    return entry_for(HOPPER_PLANS if is_for_hopper else _TRITON_PLANS, num_rows, LIBRARY)


_HEAD_TILES: dict[int, Tiles] = {
    16: Tiles(16, 32, 128, 1, 1, 4, 5),
    32: Tiles(32, 64, 128, 1, 1, 4, 4),
    64: Tiles(64, 128, 64, 1, 1, 4, 4),
}


def head_tiles(num_rows: int) -> Tiles | None:
    """The tiles of the vocabulary GEMM with the sampling in it; None for the library's."""
    return entry_for(_HEAD_TILES, num_rows, None)
