"""What comes into question for a GEMM of some rows, and how long each should take.

The library can make it, Triton, and on a Hopper GPU our own CUDA C++ (`gemm_plan.py`):
`kernels/hopper/few_rows.cu` for the fewest rows, `kernels/hopper/gemm.cu` for more. Ours can be cut
in many ways. A GEMM is limited by one of three ways that its operands go:

    memory -> L2            every weight once
    L2 -> multiprocessors   a block's rows of x and columns of w, less what a cluster shares
    into a multiprocessor   all of its blocks' operands, the shared ones too

`predicted_seconds` takes the slowest of the three, and adds what a kernel and its rounds cost
besides. It need not be right, only rank well: `gemm_choice.py` measures the best few.

Read next: `gemm_choice.py`.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache

from nanovllm_edu.fused_decode.gemm_plan import AnyTiles, GemmShape
from nanovllm_edu.kernels.hopper import few_rows
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import DEPTH, HopperTiles
from nanovllm_edu.kernels.triton.gemm import Tiles

NUM_MEASURED, NUM_ALIKE = 6, 2
"""Cuts in CUDA C++ that are worth measuring, and how many of these may have tiles of one size."""

MULTIPROCESSORS = 132
SHARED_BYTES = 226 * 1024
"""Of a multiprocessor, for tiles; two blocks have half of it each."""
MAX_CLUSTER = 8
FEW_ROWS_CUTS = (
    (16, 16, 2, 1), (16, 8, 4, 1), (16, 8, 2, 1), (16, 4, 4, 1), (16, 8, 6, 1), (16, 16, 4, 1),
    (32, 4, 4, 4),
)  # fmt: skip
"""Columns, warps, units, splits: the last for deep GEMMs of few columns."""
MOST_ROWS_IN_TRITON = 64

# Of an H200. Bytes a second:
FROM_MEMORY, FROM_L2, INTO_ONE = 4.2e12, 7e12, 64 * 1.755e9
# The share of the memory's speed that a maker reaches, and seconds for a kernel:
ON_HOPPER = 0.7, 0.5e-6
_OTHERS = {Tiles: (0.92, 3e-6), FewRowsTiles: (0.95, 1e-6), type(None): (0.82, 3.5e-6)}
ROUND_SECONDS, SPLIT_SECONDS = 1e-6, 0.5e-6


@cache  # thousands of cuts are looked through, and a choice asks again and again
def candidates(shape: GemmShape, num_rows: int, has_hopper: bool) -> tuple[AnyTiles, ...]:
    """What is worth measuring, and what should be fastest first; the library is last."""
    ours: list[AnyTiles]
    if not has_hopper:
        ours = [*triton_tiles(shape, num_rows)]
    elif num_rows <= few_rows.MOST_ROWS:  # of all that was tried, nothing else won
        ours = [*few_rows_tiles(shape, num_rows)]
    else:
        ours = [*best_hopper_tiles(shape, num_rows)]
    return (*sorted(ours, key=lambda tiles: predicted_seconds(tiles, shape, num_rows)), None)


def predicted_seconds(tiles: AnyTiles, shape: GemmShape, num_rows: int) -> float:
    """How long a GEMM takes, by the model above."""
    if isinstance(tiles, HopperTiles):
        return _predicted_on_hopper(tiles, shape, num_rows)
    share, seconds = _OTHERS[type(tiles)]
    height = 0 if tiles is None else tiles.m  # whose programs read all rows of x each
    return shape.weight_bytes / (share * FROM_MEMORY) * (1 + height / 200) + seconds


# ------------------------------------------------------------------------------ Triton


def triton_tiles(shape: GemmShape, num_rows: int) -> list[Tiles]:
    """Cuts in Triton that were good at every shape they were tried with; none for many rows."""
    if num_rows > MOST_ROWS_IN_TRITON:
        return []
    if num_rows == 1:
        return _tiles_of_one_row(shape.depth)
    adds = shape.kind == "ADD"
    m = next(m for m in (16, 32, 64) if m >= num_rows)
    splits = 4 if adds else 1
    if m == 16 and shape.depth <= 1024 * (3 if adds else 1):  # all of the depth at once
        return [Tiles(16, 16 if adds else 32, 256, 4, 3 if adds else 1, 4, 1)]
    if m == 64:
        return [Tiles(64, 32, 128, 1, splits, 4, 4), Tiles(64, 64, 64, 1, splits, 4, 4)]
    return [Tiles(m, 32, 128, 1, splits, 4, 4), Tiles(m, 64, 128, 1, splits, 4, 4)]


def _tiles_of_one_row(depth: int) -> list[Tiles]:
    """In one step if that is not too deep, in a few long ones, in steps that divide the depth."""
    whole = {1024: Tiles(1, 16, 1024, 1, 1, 4, 1), 2048: Tiles(1, 8, 2048, 1, 1, 4, 1)}
    in_one = next(
        (tiles for k, tiles in whole.items() if k >= depth), Tiles(1, 8, 4096, 1, 1, 8, 1)
    )
    evenly = Tiles(1, 16, 512, 1, 1, 4, 1) if depth % 1024 else Tiles(1, 8, 1024, 1, 1, 4, 1)
    found = [in_one] if depth <= 4096 else []
    return [*found, Tiles(1, 4, 2048, 1, 1, 4, 1), evenly]


# ------------------------------------------------------------------------------ few rows on Hopper


def few_rows_tiles(shape: GemmShape, num_rows: int) -> list[FewRowsTiles]:
    """Cuts for `few_rows.cu` that were good at every shape they were tried with."""
    if num_rows > few_rows.MOST_ROWS:
        return []
    m = 8 if num_rows <= 8 else 16
    found = [FewRowsTiles(m, *cut) for cut in FEW_ROWS_CUTS]
    most_units = max(16, shape.depth // few_rows.UNIT)  # where there are fewer, some warps are idle
    return [
        tiles
        for tiles in found
        if tiles.fits(shape.kind, shape.num_columns, shape.depth)
        and tiles.warps * tiles.units * tiles.splits <= most_units
        and tiles.registers * 32 * tiles.warps <= few_rows.REGISTERS
    ]


# ------------------------------------------------------------------------------ Hopper


def hopper_tiles(shape: GemmShape, num_rows: int) -> list[HopperTiles]:
    """The cuts that `gemm.cu` can make, what should be fastest first."""
    found = [tiles for tiles in _all_cuts(shape, num_rows) if is_possible(tiles, shape, num_rows)]
    return sorted(found, key=lambda tiles: _predicted_on_hopper(tiles, shape, num_rows))


def best_hopper_tiles(shape: GemmShape, num_rows: int) -> list[HopperTiles]:
    """Those that are worth measuring: not only the first, whose likes are as good or as bad."""
    found: list[HopperTiles] = []
    sizes = Counter[tuple[int, int, int]]()
    for tiles in hopper_tiles(shape, num_rows):
        size = tiles.m, tiles.n, tiles.splits
        sizes[size] += 1
        if sizes[size] <= NUM_ALIKE:
            found.append(tiles)
    return found[:NUM_MEASURED]


def _all_cuts(shape: GemmShape, num_rows: int) -> Iterator[HopperTiles]:
    heights = (64,) if num_rows <= 64 else (64, 128)
    widths = (64, 128) if shape.kind == "ADD" else (48, 64, 96, 128, 192, 256)
    for m, n, splits in itertools.product(heights, widths, (1, 2, 4, 8)):
        num_steps = shape.depth // splits // DEPTH
        for shared in (SHARED_BYTES, SHARED_BYTES // 2):
            stages = min(shared // (2 * DEPTH * (m + n)), num_steps)
            for cluster_n, cluster_m in itertools.product((1, 2, 4), (1, 2)):
                yield HopperTiles(m, n, splits, cluster_n, cluster_m, stages)


def is_possible(tiles: HopperTiles, shape: GemmShape, num_rows: int) -> bool:
    """Whether a cut keeps the rules of `gemm.cu`, and gives most multiprocessors work."""
    return (
        tiles.fits(shape.kind, shape.num_columns, shape.depth)
        and tiles.splits * tiles.cluster_n * tiles.cluster_m <= MAX_CLUSTER
        and tiles.m // tiles.cluster_n % 8 == 0
        and tiles.n % (16 * tiles.cluster_m) == 0
        and tiles.m // tiles.splits >= 8
        and -(-num_rows // tiles.m) % tiles.cluster_m == 0
        and tiles.stages >= 2
        and tiles.m * (tiles.n + 8) * 4 <= tiles.shared_bytes  # sums replace the tiles
        and _num_blocks(tiles, shape, num_rows) >= 0.35 * MULTIPROCESSORS
    )


def _num_blocks(tiles: HopperTiles, shape: GemmShape, num_rows: int) -> int:
    across = shape.num_columns // tiles.columns(shape.kind)
    return across * -(-num_rows // tiles.m) * tiles.splits


def _predicted_on_hopper(tiles: HopperTiles, shape: GemmShape, num_rows: int) -> float:
    num_blocks = _num_blocks(tiles, shape, num_rows)
    column_bytes = 2 * (shape.depth // tiles.splits)
    at_once = 1 if 2 * tiles.shared_bytes > SHARED_BYTES else 2
    share, seconds = ON_HOPPER
    ways = (
        shape.weight_bytes / (share * FROM_MEMORY),
        num_blocks
        * column_bytes
        * (tiles.m / tiles.cluster_n + tiles.n / tiles.cluster_m)
        / FROM_L2,
        -(-num_blocks // MULTIPROCESSORS) * column_bytes * (tiles.m + tiles.n) / INTO_ONE,
    )
    num_rounds = -(-num_blocks // (at_once * MULTIPROCESSORS))
    return (
        max(ways)
        + ways[1] / 10
        + seconds
        + num_rounds * ROUND_SECONDS
        + SPLIT_SECONDS * (tiles.splits > 1)
    )
