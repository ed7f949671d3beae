"""How is Hopper's decode attention cut best? `kernels/hopper/decode.py` holds what this prints.

    python benchmarks/hopper_tiles.py [--rows 8 32 64 96 128 192 256]

Every cut of `kernels/hopper/decode.cu`, with short contexts and with long ones, measured inside a
whole decode step of Qwen3-0.6B's shapes, because there a kernel also pays for the room it takes
from its neighbours. How GEMMs are cut is tried out at start: `fused_decode/gemm_trial.py`.
"""

import argparse
import random
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
)
from tqdm import tqdm

from nanovllm_edu.fused_decode import layer_attention
from nanovllm_edu.kernels.hopper import decode
from nanovllm_edu.kernels.hopper.decode import HopperDecodeTiles

ATTENTION = [
    HopperDecodeTiles(splits, warps, 16 // warps)
    for splits in (1, 2, 4, 8)
    for warps in (2, 4, 8, 16)
]
CONTEXTS = ((128, 384), (700, 1500))


class InPlace:
    """A whole decode step; every measurement starts from the same contexts."""

    def __init__(self, num_rows: int, contexts: tuple[int, int]) -> None:
        random.seed(1)
        lengths = sorted((random.randint(*contexts) for _ in range(num_rows)), reverse=True)
        self.num_rows = num_rows
        self.decoder = make_decoder(make_weights(LAYERS), lengths, is_overlapped=True)
        self.lengths = self.decoder.inputs.context_lens.clone()

    def milliseconds(self, attention: HopperDecodeTiles | None = None) -> float:
        """Of a step, as planned or otherwise."""
        self.decoder.inputs.context_lens.copy_(self.lengths)
        chosen = layer_attention.hopper_decode_tiles
        plan = self.decoder.plans.plan_for(self.num_rows)
        with patch.object(
            layer_attention, "hopper_decode_tiles", lambda pairs: attention or chosen(pairs)
        ):
            return microseconds(lambda: self.decoder.step(self.num_rows, plan), 1) / 1000


def compile_all() -> None:
    """Side by side: the compiler lets go of Python's lock."""
    device = torch.cuda.current_device()
    work: list[tuple] = []
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
            (step.milliseconds(tiles), tuple(vars(tiles).values()))
            for tiles in ATTENTION
            if 512 <= num_rows * KV_HEADS * tiles.splits * tiles.warps <= 2**15
        ]
        times.sort()
        planned = f"{num_rows} rows of {contexts}: as planned {step.milliseconds():.3f} ms"
        print(planned, *(f"{cut} {ms:.3f}" for ms, cut in times[:5]), sep="; ", flush=True)


def main() -> None:
    """Prints the best cuts of each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32, 64, 96, 128, 192, 256])
    args = parser.parse_args()
    torch.cuda.init()
    compile_all()
    for rows in args.rows:
        tune_attention(rows)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
