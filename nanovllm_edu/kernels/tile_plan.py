"""Which tiles a decode step of so many rows uses: a table of measured constants.

The best tile depends on the number of rows, which decides what is scarce: with few rows, programs
to keep the memory busy; with many, the way between the L2 cache and the multiprocessors.
`benchmarks/gpu_kernels.py` tries a handful of tiles per shape on a GPU and prints the best; what it
found on an H200 for Qwen3-0.6B's shapes is written down here. Nothing is tuned at run time, so a
result never depends on a race between timings.

Tiles of `hopper_product.cu` were chosen inside a whole decode step (`benchmarks/hopper_tiles.py`),
because there a kernel also pays for the room that it takes from its neighbours: 64 blocks with all
of a multiprocessor's shared memory each leave the other multiprocessors to the next kernel's first
weights, and beat 128 smaller ones.

Read next: `fused_decode.py`.
"""

import sys
from dataclasses import dataclass
from typing import TypeVar

from nanovllm_edu.kernels.hopper import HopperTiles
from nanovllm_edu.kernels.matmul import Tiles
from nanovllm_edu.kernels.paged_decode import DecodeTiles

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a step's products. `o` and `down` write the same stream, so their `n` is one."""

    qkv: Tiles
    o: Tiles
    gate_up: Tiles
    down: Tiles
    head: Tiles

    def __post_init__(self) -> None:
        assert self.o.n == self.down.n


#         rows  (m, n, k, lanes, splits, num_warps, num_stages)
_PLANS: dict[int, TilePlan] = {
    1: TilePlan(
        qkv=Tiles(1, 16, 1024, 1, 1, 4, 1),
        o=Tiles(1, 8, 2048, 1, 1, 4, 1),
        gate_up=Tiles(1, 16, 1024, 1, 1, 4, 1),
        down=Tiles(1, 8, 4096, 1, 1, 8, 1),
        head=Tiles(16, 32, 128, 1, 1, 4, 5),
    ),
    8: TilePlan(
        qkv=Tiles(16, 32, 256, 4, 1, 4, 1),
        o=Tiles(16, 16, 256, 4, 2, 4, 1),
        gate_up=Tiles(16, 32, 256, 4, 1, 4, 1),
        down=Tiles(16, 16, 256, 4, 3, 4, 1),
        head=Tiles(16, 32, 128, 1, 1, 4, 5),
    ),
    16: TilePlan(
        qkv=Tiles(16, 32, 256, 4, 1, 4, 1),
        o=Tiles(16, 16, 256, 4, 2, 4, 1),
        gate_up=Tiles(16, 16, 256, 4, 1, 4, 1),
        down=Tiles(16, 16, 256, 4, 3, 4, 1),
        head=Tiles(16, 32, 128, 1, 1, 4, 5),
    ),
    32: TilePlan(
        qkv=Tiles(32, 32, 128, 1, 1, 4, 4),
        o=Tiles(32, 32, 128, 1, 4, 4, 4),
        gate_up=Tiles(32, 32, 128, 1, 1, 4, 4),
        down=Tiles(32, 32, 128, 1, 4, 4, 4),
        head=Tiles(32, 64, 128, 1, 1, 4, 4),
    ),
    64: TilePlan(
        qkv=Tiles(64, 32, 128, 1, 1, 4, 4),
        o=Tiles(64, 32, 128, 1, 4, 4, 4),
        gate_up=Tiles(64, 64, 64, 1, 1, 4, 4),
        down=Tiles(64, 32, 128, 1, 4, 4, 4),
        head=Tiles(64, 128, 64, 1, 1, 4, 4),
    ),
}

MAX_FUSED_ROWS = 64
"""With more rows, the library's products are faster than Triton's: `library_decode.py`."""


@dataclass(frozen=True)
class HopperPlan:
    """The tiles of a step's products by `hopper_product.cu`; the head is not one of them."""

    qkv: HopperTiles
    o: HopperTiles
    gate_up: HopperTiles
    down: HopperTiles

    def __post_init__(self) -> None:
        assert self.o.n == self.down.n


#         rows  (m, n, splits, cluster_n, cluster_m, stages)
HOPPER_PLANS: dict[int, HopperPlan] = {
    8: HopperPlan(
        qkv=HopperTiles(64, 64, 1, 2, 1, 14),
        o=HopperTiles(64, 64, 4, 2, 1, 8),
        gate_up=HopperTiles(64, 48, 1, 4, 1, 16),
        down=HopperTiles(64, 64, 4, 2, 1, 12),
    ),
    64: HopperPlan(
        qkv=HopperTiles(64, 64, 1, 2, 1, 14),
        o=HopperTiles(64, 64, 4, 2, 1, 7),
        gate_up=HopperTiles(64, 96, 1, 2, 1, 11),
        down=HopperTiles(64, 64, 4, 2, 1, 12),
    ),
    96: HopperPlan(
        qkv=HopperTiles(64, 64, 1, 4, 2, 7),
        o=HopperTiles(64, 64, 4, 2, 1, 7),
        gate_up=HopperTiles(128, 64, 1, 4, 1, 9),
        down=HopperTiles(128, 64, 4, 2, 1, 9),
    ),
    128: HopperPlan(
        qkv=HopperTiles(128, 64, 1, 2, 1, 9),
        o=HopperTiles(64, 64, 2, 2, 2, 14),
        gate_up=HopperTiles(128, 64, 1, 4, 1, 9),
        down=HopperTiles(128, 64, 4, 2, 1, 9),
    ),
}

MIN_HOPPER_ROWS, MAX_HOPPER_ROWS = 5, max(HOPPER_PLANS)
"""With fewer rows Triton's products are faster, with more the library's."""


def plan_for(num_rows: int, has_hopper: bool = False) -> TilePlan | HopperPlan:
    """The plan of the smallest bucket that holds `num_rows`; the last one for more."""
    if has_hopper and MIN_HOPPER_ROWS <= num_rows <= MAX_HOPPER_ROWS:
        return _smallest(HOPPER_PLANS, num_rows)
    return _smallest(_PLANS, num_rows)


def head_plan(num_rows: int) -> Tiles:
    """The tiles of the vocabulary product."""
    return _smallest(_PLANS, num_rows).head


def _smallest(plans: dict[int, Plan], num_rows: int) -> Plan:
    return plans[min((rows for rows in plans if rows >= num_rows), default=max(plans))]


#    pairs of row and key-value head, and how to cut them
_DECODE_TILES: dict[int, DecodeTiles] = {
    8: DecodeTiles(8, 64, 64, 2, 4, 168),
    64: DecodeTiles(8, 128, 64, 2, 2, 255),
    128: DecodeTiles(4, 512, 64, 2, 4, 168),
    256: DecodeTiles(1, 128, 128, 2, 8, 128),
    768: DecodeTiles(1, 64, 64, 2, 4, 168),
    1024: DecodeTiles(1, 64, 64, 2, 2, 255),
    1600: DecodeTiles(1, 32, 32, 2, 2, 168),
    sys.maxsize: DecodeTiles(1, 32, 32, 2, 2, 128),
}


def decode_tiles(num_pairs: int) -> DecodeTiles:
    """How decode attention over `num_pairs` of a row and a key-value head is cut.

    With many pairs a program takes a whole sequence, with few a chunk of it.
    """
    return next(tiles for limit, tiles in _DECODE_TILES.items() if num_pairs <= limit)
