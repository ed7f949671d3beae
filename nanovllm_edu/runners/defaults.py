"""The options that depend on the device, where nobody asked for another value.

`EngineConfig`'s own defaults suit a CPU, where a step of two thousand tokens takes seconds and a
small pool is easy to look into. A GPU wants more work at once. Each choice keeps its reason, and
`llm.info` shows it. Measured by `benchmarks/traffic.py`.

Read next: `runners/memory.py`.
"""

from math import log2
from statistics import median
from typing import Any

import torch

from nanovllm_edu.attention import flash
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.runners.select import why_no_hopper

CHUNK_SECONDS = 0.01
"""What a chunk of a prompt may take while others wait for their next token."""

SHARE_OF_PRODUCTS = 0.7
"""Of the time of a prefill step, if products took what one alone takes; the rest is attention and
what only moves memory."""

HOPPER_BLOCK_SIZE = 64
"""`benchmarks/gpu_kernels.py`: blocks of 16 make long prompts up to a sixth slower."""

LONG_CONTEXT = 4096
"""From here on reading long contexts fast is worth blocks that are hit only as a whole."""


def device_defaults(device: torch.device, model: ModelConfig) -> dict[str, tuple[Any, str]]:
    """Option -> (value, why) for a model on a device; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    defaults: dict[str, tuple[Any, str]] = {
        "max_num_seqs": (1024, "a GPU reads its weights once for all sequences of a step"),
        "max_num_batched_tokens": (8192, "a GPU multiplies long prompts in a few milliseconds"),
    }
    if torch.cuda.is_available():
        defaults["prefill_chunk_size"] = (
            prefill_chunk_size(products_per_second(device, model), model),
            f"whoever decodes waits about {1e3 * CHUNK_SECONDS:.0f} ms for others' prompts",
        )
    if block_size := _block_size(device, model):
        defaults["block_size"] = block_size
    return defaults


def _block_size(device: torch.device, model: ModelConfig) -> tuple[int, str] | None:
    """As small as costs nothing: what two prompts have in common is shared by whole blocks."""
    size, big = HOPPER_BLOCK_SIZE, flash.BLOCK_SIZE_MULTIPLE
    if why_no_hopper(device, model.dtype, model.head_dim, size) is None:
        return size, "our kernels read such blocks as fast as larger ones"
    why_not = flash.why_unavailable(device, model.dtype, model.head_dim, big)
    if why_not is None and model.max_position_embeddings >= LONG_CONTEXT:
        return big, "flash-attn reads such blocks, and contexts may be long"
    return None


def prefill_chunk_size(operations_per_second: float, model: ModelConfig) -> int:
    """Tokens of a prompt that take about `CHUNK_SECONDS`: a power of two, at least 256.

    A power of two, because a measured rate is never the same twice and the choice should be.
    """
    embeddings = (1 if model.tie_word_embeddings else 2) * model.vocab_size * model.hidden_size
    seconds_per_token = 2 * (model.num_parameters - embeddings) / operations_per_second
    num_tokens = CHUNK_SECONDS * SHARE_OF_PRODUCTS / seconds_per_token
    return max(256, 2 ** round(log2(num_tokens)))


def products_per_second(device: torch.device, model: ModelConfig) -> float:
    """Floating-point operations a second of a product of the model's own shape: median of nine."""
    rows, columns, depth = 4096, 2 * model.intermediate_size, model.hidden_size
    dtype = torch.bfloat16 if model.dtype == torch.float32 else model.dtype
    x = torch.randn(rows, depth, dtype=dtype, device=device)
    w = torch.randn(columns, depth, dtype=dtype, device=device)
    times: list[float] = []
    for _ in range(10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        torch.nn.functional.linear(x, w)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return 2 * rows * columns * depth / median(times[1:])
