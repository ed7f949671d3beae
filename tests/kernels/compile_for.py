"""Compiles every Triton kernel for a GPU that is not here.

    python -m tests.kernels.compile_for 80    # compute capability 8.0

Triton's interpreter runs a kernel as Python, and what its compiler says to it is not known then. So
this launches all kernels with a driver that only says which GPU is meant, compiles them down to
machine code, and runs none. It prints how often each was compiled; one that was not is an error.
"""

import sys
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

import nanovllm_edu.kernels.triton
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_candidates import triton_tiles
from nanovllm_edu.fused_decode.gemm_plan import BUCKETS, LIBRARY, GemmPlan, LayerShape
from nanovllm_edu.fused_decode.gemm_trial import padding
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
from nanovllm_edu.kernels.triton.ops import TritonOps
from nanovllm_edu.kernels.triton.store_kv import store_kv
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.kv_cache import KVCache
from tests.kernels.test_attention import make_batch
from tests.kernels.test_fused_ranks import TableSums, part_of
from tests.meeting import Threads, together

QWEN3 = {"head_dim": 128, "qk_norm": True, "hidden_size": 1024}
QWEN2 = {"head_dim": 64, "qk_norm": False, "hidden_size": 1536, "qkv_bias": True}
MANY = max(BUCKETS) + 1
compiled = Counter[str]()


class OnPaper:
    """A driver of a GPU that only has a name."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def compile_only(kernel, *operands, grid, warmup, launch=JITFunction.run, **options):
    compiled[kernel.fn.__name__] += 1
    return launch(kernel, *operands, grid=grid, warmup=True, **options)


def decoder_of(model: Qwen3ForCausalLM, block_size: int) -> FusedDecoder:
    weights = ModelWeights.collect(model)
    heads = weights.num_kv_heads, weights.head_dim
    cache = KVCache(torch.zeros(1, 2, 9, block_size, *heads, dtype=torch.bfloat16), torch.empty(0))
    rows = padding(max(BUCKETS) + 1, cache)
    longer = torch.zeros(1, 4096 // block_size, dtype=torch.int32)
    is_overlapped = driver.active.get_current_target().arch >= 90
    return FusedDecoder(
        weights, cache, replace(rows, block_tables=longer), is_overlapped=is_overlapped
    )


def triton_plans(layer: LayerShape, num_rows: int) -> list[GemmPlan]:
    """All four GEMMs in Triton, cut in each way that comes into question."""
    made = {name: triton_tiles(shape, num_rows) for name, shape in layer.named()}
    count = max(map(len, made.values()))
    return [
        GemmPlan(**{name: found[min(place, len(found) - 1)] for name, found in made.items()})
        for place in range(count if all(made.values()) else 0)
    ] or [LIBRARY]


def compile_decode(model: Qwen3ForCausalLM, *rows: int, block_size: int = 64) -> None:
    """Fused steps of so many rows, in every cut; one with filters."""
    decoder = decoder_of(model, block_size)
    for num_rows in rows:
        for plan in triton_plans(decoder.layer, num_rows):
            decoder.step(num_rows, plan)
    decoder.step(max(rows), LIBRARY, is_filtered=True)


def compile_rest(model: Qwen3ForCausalLM, block_size: int) -> None:
    """The eager path: a batch of prompts and of single tokens through the model."""
    config, backend = model.config, TritonPagedAttention()
    heads = config.num_kv_heads, config.head_dim
    for queries, contexts in (([300, 7], [300, 40]), ([1] * 8, [900] * 8)):
        batch = make_batch(queries, contexts, block_size, "cpu")
        shape = 1, 2, batch.block_tables.numel() + 1, block_size, *heads
        cache = KVCache(torch.zeros(shape, dtype=torch.bfloat16), torch.empty(0))
        model(batch.token_ids, batch.positions, backend.bind(batch, cache))
        k = torch.zeros(sum(queries), *heads, dtype=torch.bfloat16)
        store_kv(cache, 0, batch.slot_mapping, k, k)


class Bfloat16Sums(TableSums):
    def part(self, place, *shape):
        return self._parts.setdefault((place, shape), torch.zeros(shape, dtype=torch.bfloat16))


@torch.inference_mode()
def main() -> None:
    driver.set_active(OnPaper(int(sys.argv[1])))
    JITFunction.run = compile_only
    model = model_of(QWEN3)
    compile_decode(model, 1, 64, MANY)
    compile_rest(model, block_size=16)
    other = model_of(QWEN2)
    compile_decode(other, 1)
    compile_rest(other, block_size=256)

    def of_a_rank(rank, table):
        sums = Bfloat16Sums(rank, table, torch.device("cpu"))
        compile_decode(part_of(model, Threads(rank, table, sums)), 4)

    together(2, of_a_rank)
    print(dict(compiled))
    if missing := kernels() - set(compiled):
        raise SystemExit(f"never compiled: {sorted(missing)}")


def model_of(kind: dict[str, Any]) -> Qwen3ForCausalLM:
    config = ModelConfig(
        architecture="Qwen3ForCausalLM", vocab_size=2000, num_layers=1, num_heads=8,
        num_kv_heads=2, intermediate_size=3072, max_position_embeddings=4096,
        tie_word_embeddings=True, dtype=torch.bfloat16, **kind,
    )  # fmt: skip
    return Qwen3ForCausalLM(config, ops=TritonOps())


def kernels() -> set[str]:
    """The names of all that can be launched."""
    folder = nanovllm_edu.kernels.triton
    modules = [
        import_module(f"{folder.__name__}.{one.name}") for one in iter_modules(folder.__path__)
    ]
    found = {name: one for module in modules for name, one in vars(module).items()}
    return {
        name
        for name, one in found.items()
        if isinstance(one, JITFunction) and name.endswith("_kernel")
    }


if __name__ == "__main__":
    main()
