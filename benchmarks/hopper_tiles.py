"""Which tiles of `kernels/hopper_product.cu` make a decode step fastest? Needs a Hopper GPU.

    python benchmarks/hopper_tiles.py [--rows 8 32 64 96 128]

Two passes for each number of rows, Qwen3-0.6B's shapes, contexts of 128 to 384 tokens:

    alone      every tile that fits, each product by itself 28 times in one CUDA graph
    in place   the best eight of each, put into a whole decode step one after the other

The second decides: in a step a kernel also pays for the room it takes from its neighbours. What it
prints at the end is what `kernels/tile_plan.py` holds.
"""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from gpu_kernels import (
    LAYERS,
    ROLES,
    library_decoder,
    make_decoder,
    make_weights,
    microseconds,
    randn,
)
from tqdm import tqdm

from nanovllm_edu.kernels.hopper import HopperProduct, HopperTiles, compiled
from nanovllm_edu.kernels.tile_plan import HopperPlan, plan_for

PARTS = 16
"""Sums of squares per row: the stream is written in tiles of 64 columns."""

KINDS = {"qkv": "PROJECT", "o": "ADD", "gate_up": "GATE_UP", "down": "ADD"}
WIDTHS = {"qkv": (32, 64, 128), "o": (64,), "gate_up": (32, 48, 64, 96, 128), "down": (64,)}
ALL_SHARED, HALF_SHARED = 226 * 1024, 113 * 1024
KEPT = 8


def shape_of(name: str) -> tuple[str, int, int]:
    """A product's kind, its depth, and the columns of its result."""
    columns_of_w, depth = ROLES[name]
    return KINDS[name], depth, columns_of_w // 2 if name == "gate_up" else columns_of_w


def candidates(name: str, num_rows: int) -> Iterator[HopperTiles]:
    """Tiles that give 60 to 264 blocks, with as many stages as fit a multiprocessor or half."""
    kind, depth, columns = shape_of(name)
    for m in (64,) if num_rows <= 64 else (64, 128):
        for n in WIDTHS[name]:
            for splits in (1, 2, 4, 8):
                steps, stage = depth // splits // 64, (m + n) * 128
                width = n // 2 if kind == "GATE_UP" else n
                blocks = columns // width * -(-num_rows // m) * splits
                sizes = {min(HALF_SHARED // stage, steps)}
                if blocks <= 132:
                    sizes.add(min(ALL_SHARED // stage, steps))
                for stages in sorted(sizes):
                    for cluster_n in (1, 2, 4):
                        for cluster_m in (1, 2):
                            tiles = HopperTiles(m, n, splits, cluster_n, cluster_m, stages)
                            if 60 <= blocks <= 264 and is_possible(tiles, name, num_rows):
                                yield tiles


def is_possible(tiles: HopperTiles, name: str, num_rows: int) -> bool:
    """The rules of the source."""
    kind, depth, columns = shape_of(name)
    rows_of_w = tiles.columns(kind) // tiles.cluster_m
    return (
        tiles.fits(kind, columns, depth)
        and tiles.splits * tiles.cluster_n * tiles.cluster_m <= 8
        and rows_of_w % 8 == 0
        and -(-num_rows // tiles.m) % tiles.cluster_m == 0
        and tiles.stages >= 2
        and tiles.m * (tiles.n + 8) * 4 <= tiles.shared_bytes
    )


def alone(name: str, num_rows: int, tiles: HopperTiles, weights: list[torch.Tensor]) -> float:
    """Microseconds of one product among its like."""
    kind, depth, columns = shape_of(name)
    x, out = randn(num_rows, depth), randn(num_rows, columns)
    squares = torch.rand(num_rows, PARTS, device="cuda")
    products = [HopperProduct(kind, x, w, out, squares, tiles, eps=1e-6) for w in weights]
    return microseconds(lambda: [product.launch() for product in products], len(products))


class InPlace:
    """A whole decode step; every measurement starts from the same contexts."""

    def __init__(self, num_rows: int) -> None:
        random.seed(1)
        lengths = sorted((random.randint(128, 384) for _ in range(num_rows)), reverse=True)
        self.num_rows = num_rows
        self.decoder = make_decoder(make_weights(LAYERS), lengths, is_overlapped=True)
        self.library = library_decoder(self.decoder)
        self.lengths = self.decoder.inputs.context_lens.clone()

    def milliseconds(self, plan: HopperPlan | None) -> float:
        """Of a step with this plan; of the library's step for None."""
        self.decoder.inputs.context_lens.copy_(self.lengths)
        decoder = self.library if plan is None else self.decoder
        arguments = (self.num_rows,) if plan is None else (self.num_rows, plan)
        return microseconds(lambda: decoder.step(*arguments), 1) / 1000

    def tune(self, ranked: dict[str, list[HopperTiles]]) -> tuple[float, HopperPlan]:
        """Starts from the plan in use and takes what is faster, product by product."""
        plan = plan_for(self.num_rows, has_hopper=True)
        assert isinstance(plan, HopperPlan)
        best = self.milliseconds(plan)
        for name in ("gate_up", "qkv", "down", "o"):
            for tiles in ranked[name]:
                other = HopperPlan(**{**vars(plan), name: tiles})
                if (time := self.milliseconds(other)) < best - 0.001:
                    best, plan = time, other
        return best, plan


def main() -> None:
    """Prints both passes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32, 64, 96, 128])
    args = parser.parse_args()
    torch.cuda.init()
    device = torch.cuda.current_device()
    found = {(rows, name): list(candidates(name, rows)) for rows in args.rows for name in KINDS}
    kernels = {
        (*shape_of(name), PARTS, tiles, device)
        for (_, name), options in found.items()
        for tiles in options
    }
    with ThreadPoolExecutor() as pool:  # the compiler lets go of Python's lock
        list(tqdm(pool.map(lambda k: compiled(*k), kernels), total=len(kernels), desc="Compiling"))
    for rows in args.rows:
        ranked: dict[str, list[HopperTiles]] = {}
        for name in KINDS:
            weights = [randn(*ROLES[name], scale=0.03) for _ in range(LAYERS)]
            times = [(alone(name, rows, tiles, weights), tiles) for tiles in found[rows, name]]
            times.sort(key=lambda pair: pair[0])
            ranked[name] = [tiles for _, tiles in times[:KEPT]]
            best = ", ".join(f"{us:.2f} {tuple(vars(t).values())}" for us, t in times[:3])
            print(f"{rows} rows, {name} alone, us: {best}")
        step = InPlace(rows)
        milliseconds, plan = step.tune(ranked)
        library = step.milliseconds(None)
        print(
            f"{rows} rows, a step: {milliseconds:.3f} ms (with the library {library:.3f}); {plan}"
        )


if __name__ == "__main__":
    main()
