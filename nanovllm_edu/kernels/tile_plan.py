"""Which tiles a decode step of so many rows uses: a table of measured constants.

The best tile depends on the number of rows, which decides what is scarce: with few rows, programs
to keep the memory busy; with many, the way between the L2 cache and the multiprocessors.
`benchmarks/gpu_kernels.py` tries a handful of tiles per shape on a GPU and prints the best; what it
found on an H200 for Qwen3-0.6B's shapes is written down here. Nothing is tuned at run time, so a
result never depends on a race between timings.

Read next: `fused_decode.py`.
"""

import sys
from dataclasses import dataclass

from nanovllm_edu.kernels.matmul import Tiles
from nanovllm_edu.kernels.paged_decode import DecodeTiles


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

LAST_PLAN = max(_PLANS)

MAX_FUSED_ROWS = 64
"""With more rows, the library's products are faster: `library_decode.py`."""


def plan_for(num_rows: int) -> TilePlan:
    """The plan of the smallest bucket that holds `num_rows`; the last one for more."""
    return _PLANS[min((rows for rows in _PLANS if rows >= num_rows), default=LAST_PLAN)]


#    pairs of row and key-value head, and how to cut them
_DECODE_TILES: dict[int, DecodeTiles] = {
    8: DecodeTiles(8, 64, 64, 2, 4, 168),
    64: DecodeTiles(8, 128, 64, 2, 2, 255),
    128: DecodeTiles(4, 512, 64, 2, 4, 168),
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
