"""The options that depend on the device, where nobody asked for another value.

`EngineConfig`'s own defaults suit a CPU, where a step of two thousand tokens takes seconds and a
small pool is easy to look into. A GPU wants more work at once. Each choice keeps its reason, and
`llm.info` shows it. Measured by `benchmarks/traffic.py`.

Read next: `runners/memory.py`.
"""

from typing import Any

import torch

from nanovllm_edu.attention import flash
from nanovllm_edu.models.config import ModelConfig

LONG_CONTEXT = 4096
"""From here on reading long contexts fast is worth blocks that are hit only as a whole."""


def device_defaults(device: torch.device, model: ModelConfig) -> dict[str, tuple[Any, str]]:
    """Option -> (value, why) for a model on a device; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    defaults: dict[str, tuple[Any, str]] = {
        "max_num_seqs": (1024, "a GPU reads its weights once for all sequences of a step"),
        "max_num_batched_tokens": (16_384, "a GPU multiplies long prompts in a few milliseconds"),
    }
    size = flash.BLOCK_SIZE_MULTIPLE
    why_not = flash.why_unavailable(device, model.dtype, model.head_dim, size)
    if why_not is None and model.max_position_embeddings >= LONG_CONTEXT:
        defaults["block_size"] = (size, "flash-attn reads such blocks, and contexts may be long")
    return defaults
