"""How are the Hopper kernels cut best? `fused_decode/gemm_plan.py` holds what this prints.

    python benchmarks/hopper_tiles.py [--rows 8 32 64 96 128 192 256] [--only attention products]

Everything is measured inside a whole decode step of Qwen3-0.6B's shapes, because there a kernel
also pays for the room it takes from its neighbours.

    attention   `kernels/hopper/decode.cu`: every cut, with short contexts and with long ones
    products    `kernels/hopper/gemm.cu`: first every tile that fits, each GEMM by itself 28 times
                in one CUDA graph; then the best eight of each, put into a step one after the other.
                With more than 128 rows the library makes two of the four.
"""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import torch
from gpu_step import (
    HEAD_DIM,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    ROLES,
    make_decoder,
    make_weights,
    microseconds,
    randn,
)
from tqdm import tqdm

from nanovllm_edu.fused_decode import layer_attention
from nanovllm_edu.fused_decode.gemm_plan import LIBRARY, GemmPlan, plan_for
from nanovllm_edu.kernels.hopper import decode, gemm
from nanovllm_edu.kernels.hopper.decode import HopperDecodeTiles
from nanovllm_edu.kernels.hopper.gemm import HopperGemm, HopperTiles

PARTS = 16
"""Sums of squares per row: the stream is written in tiles of 64 columns."""

KINDS = {"qkv": "PROJECT", "o": "ADD", "gate_up": "GATE_UP", "down": "ADD"}
WIDTHS = {"qkv": (32, 64, 128), "o": (64,), "gate_up": (32, 48, 64, 96, 128), "down": (64,)}
ALL_SHARED, HALF_SHARED = 226 * 1024, 113 * 1024
KEPT = 8
ATTENTION = [
    HopperDecodeTiles(splits, warps, 16 // warps)
    for splits in (1, 2, 4, 8)
    for warps in (2, 4, 8, 16)
]
CONTEXTS = ((128, 384), (700, 1500))


def shape_of(name: str) -> tuple[str, int, int]:
    """A product's kind, its depth, and the columns of its result."""
    columns_of_w, depth = ROLES[name]
    return KINDS[name], depth, columns_of_w // 2 if name == "gate_up" else columns_of_w


def roles(num_rows: int) -> list[str]:
    """The products that our kernel makes."""
    plan = plan_for(num_rows, has_hopper=True)
    return [name for name in ("gate_up", "qkv", "down", "o") if getattr(plan, name)]


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
    products = [HopperGemm(kind, x, w, out, squares, tiles, eps=1e-6) for w in weights]
    return microseconds(lambda: [product.launch() for product in products], len(products))


class InPlace:
    """A whole decode step; every measurement starts from the same contexts."""

    def __init__(self, num_rows: int, contexts: tuple[int, int]) -> None:
        random.seed(1)
        lengths = sorted((random.randint(*contexts) for _ in range(num_rows)), reverse=True)
        self.num_rows = num_rows
        self.decoder = make_decoder(make_weights(LAYERS), lengths, is_overlapped=True)
        self.lengths = self.decoder.inputs.context_lens.clone()

    def milliseconds(
        self, plan: GemmPlan | None = None, attention: HopperDecodeTiles | None = None
    ) -> float:
        """Of a step, as planned or otherwise."""
        self.decoder.inputs.context_lens.copy_(self.lengths)
        plan = plan or plan_for(self.num_rows, has_hopper=True)
        chosen = layer_attention.hopper_decode_tiles
        with patch.object(
            layer_attention, "hopper_decode_tiles", lambda pairs: attention or chosen(pairs)
        ):
            return microseconds(lambda: self.decoder.step(self.num_rows, plan), 1) / 1000

    def tune(self, ranked: dict[str, list[HopperTiles]]) -> tuple[float, GemmPlan]:
        """Starts from the plan in use and takes what is faster, product by product."""
        plan = plan_for(self.num_rows, has_hopper=True)
        best = self.milliseconds(plan)
        for name, options in ranked.items():
            for tiles in options:
                other = GemmPlan(**{**vars(plan), name: tiles})
                if (time := self.milliseconds(other)) < best - 0.001:
                    best, plan = time, other
        return best, plan


def compile_all(all_rows: list[int], parts: set[str]) -> None:
    """Side by side: the compiler lets go of Python's lock."""
    device = torch.cuda.current_device()
    work = []
    if "products" in parts:
        found = {
            (*shape_of(name), PARTS, tiles, device)
            for rows in all_rows
            for name in roles(rows)
            for tiles in candidates(name, rows)
        }
        work += [(gemm.compiled, arguments) for arguments in found]
    group = ROLES["o"][1] // HEAD_DIM // KV_HEADS
    for hidden in (0, HIDDEN):
        shape = (KV_HEADS, group, HEAD_DIM, 256, hidden, False, True)
        work += [(decode.compiled, (*shape, tiles, device)) for tiles in ATTENTION]

    def compile_one(task: tuple) -> None:
        torch.cuda.set_device(device)
        torch.zeros(1, device="cuda")  # gives this thread the device's context
        task[0](*task[1])

    with ThreadPoolExecutor() as pool:
        list(tqdm(pool.map(compile_one, work), total=len(work), desc="Compiling"))


def tune_attention(num_rows: int) -> None:
    """Prints every cut's time, the best first."""
    for contexts in CONTEXTS:
        step = InPlace(num_rows, contexts)
        times = [
            (step.milliseconds(attention=tiles), tuple(vars(tiles).values()))
            for tiles in ATTENTION
            if 512 <= num_rows * KV_HEADS * tiles.splits * tiles.warps <= 2**15
        ]
        times.sort()
        planned = f"{num_rows} rows of {contexts}: as planned {step.milliseconds():.3f} ms"
        print(planned, *(f"{cut} {ms:.3f}" for ms, cut in times[:5]), sep="; ", flush=True)


def tune_products(num_rows: int) -> None:
    """Prints the best tiles of each product alone, and the best plan for a step."""
    ranked: dict[str, list[HopperTiles]] = {}
    for name in roles(num_rows):
        weights = [randn(*ROLES[name], scale=0.03) for _ in range(LAYERS)]
        times = [(alone(name, num_rows, t, weights), t) for t in candidates(name, num_rows)]
        times.sort(key=lambda pair: pair[0])
        ranked[name] = [tiles for _, tiles in times[:KEPT]]
        best = ", ".join(f"{us:.2f} {tuple(vars(t).values())}" for us, t in times[:3])
        print(f"{num_rows} rows, {name} alone, us: {best}")
    step = InPlace(num_rows, CONTEXTS[0])
    before = step.milliseconds()
    milliseconds, plan = step.tune(ranked)
    library = step.milliseconds(LIBRARY)
    print(f"{num_rows} rows, a step: {before:.3f} ms as planned, {library:.3f} with the library")
    print(f"    {milliseconds:.3f} ms: {plan}", flush=True)


def main() -> None:
    """Prints what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32, 64, 96, 128, 192, 256])
    parser.add_argument("--only", nargs="+", default=["attention", "products"])
    args = parser.parse_args()
    torch.cuda.init()
    compile_all(args.rows, set(args.only))
    for part in args.only:
        for rows in args.rows:
            {"attention": tune_attention, "products": tune_products}[part](rows)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
