"""Who makes a decode step's GEMMs, shape by shape, and what that brings.

    python benchmarks/gemms.py                          # four shapes
    python benchmarks/gemms.py --shapes qwen3-8b --rows 1 8 32 128

Every shape is tried out as at a first start (`fused_decode/gemm_trial.py`), in a cache folder of
its own. Then a whole step is timed in a CUDA graph, contexts of 256 tokens: with what was chosen,
with what the shape alone predicts, and with the library throughout.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from functools import partial

import torch
from gpu_shapes import SOURCES, shape
from gpu_step import microseconds

from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_plan import LIBRARY
from nanovllm_edu.fused_decode.gemm_trial import find_plans, padding
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.models.loader import build_random_model
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.build import choose_ops

CONTEXT, BLOCK_SIZE, MOST_ROWS = 256, 256, 256


def make_decoder(name: str) -> FusedDecoder:
    """A decoder of a shape whose rows all read the same block: how much they read counts."""
    device, config = torch.device("cuda"), shape(name)
    ops, _ = choose_ops(device, torch.bfloat16)
    model = build_random_model(
        config, dtype=torch.bfloat16, device=device, ops=ops, max_model_len=1024
    )
    cache = KVCache.allocate(
        num_layers=config.num_layers,
        num_blocks=1,
        block_size=BLOCK_SIZE,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        dtype=torch.bfloat16,
        device=device,
    )
    inputs = padding(MOST_ROWS, cache)
    inputs.context_lens.fill_(CONTEXT)
    tokens = torch.zeros(1, CONTEXT + 1, dtype=torch.int64, device=device)
    return FusedDecoder(ModelWeights.collect(model), cache, replace(inputs, token_table=tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 8, 16, 32, 64, 128, 256])
    args = parser.parse_args()
    for name in args.shapes:
        decoder = make_decoder(name)
        predicted = decoder.plans
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            decoder.plans = find_plans(decoder)
        print(f"{name}: {decoder.plans.describe()}; chosen in {time.perf_counter() - begin:.1f} s")
        for rows in args.rows:
            plans = (decoder.plans.plan_for(rows), predicted.plan_for(rows), LIBRARY)
            steps = [partial(decoder.step, rows, plan) for plan in plans]
            times = [microseconds(step, 1) / 1e3 for step in steps]
            print(f"  {rows:4} rows", *(f"{ms:7.3f}" for ms in times), "ms", flush=True)
        del decoder
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
