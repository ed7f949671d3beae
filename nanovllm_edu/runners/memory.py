"""How many KV blocks there is room for: measured, with the reason as data.

On a GPU: what is left of `gpu_memory_utilization` after the weights and the largest step have been
in memory once. On a CPU memory is not reserved for one process, so a modest, fixed budget is used.
"""

import os
import sys
from dataclasses import dataclass

import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.errors import OutOfDeviceMemoryError

CPU_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How many blocks, and how that number came about."""

    num_blocks: int
    why: str


def cache_size(
    config: EngineConfig, device: torch.device, block_bytes: int, max_model_len: int
) -> CacheSize:
    """The number of KV blocks to allocate.

    Args:
        config: Asked-for `num_blocks` and `gpu_memory_utilization`.
        device: Where the cache will live; on a GPU, the weights are loaded and a warm-up step of
            the largest size has run.
        block_bytes: Of one block over all layers.
        max_model_len: Longest sequence.

    Raises:
        OutOfDeviceMemoryError: Not even one longest sequence would fit.
    """
    if config.num_blocks is not None:
        return CacheSize(config.num_blocks, "asked for by num_blocks")
    blocks_per_sequence = -(-max_model_len // config.block_size)
    most_useful = config.max_num_seqs * blocks_per_sequence
    if device.type != "cuda":
        affordable = CPU_CACHE_BYTES // block_bytes
        why = f"a budget of {CPU_CACHE_BYTES // 2**20} MiB on a {device.type.upper()}"
        if most_useful <= affordable:
            why = f"{config.max_num_seqs} sequences of {max_model_len} tokens fit"
        return CacheSize(max(1, min(affordable, most_useful)), why)
    affordable, why = _affordable_on_gpu(config, device, block_bytes)
    if affordable < blocks_per_sequence:
        raise OutOfDeviceMemoryError(
            f"{why}: room for {affordable} KV blocks of {config.block_size} tokens, and one "
            f"sequence of max_model_len={max_model_len} needs {blocks_per_sequence}. Lower "
            "max_model_len or max_num_batched_tokens, or raise gpu_memory_utilization."
        )
    return CacheSize(affordable, why)


def check_fits(
    config: EngineConfig, device: torch.device, block_bytes: int, max_model_len: int
) -> None:
    """Refuses what was asked for and cannot be there: before anything is allocated.

    Raises:
        OutOfDeviceMemoryError: Says how many blocks and how many rows would fit.
    """
    row_bytes = 8 * (max_model_len + 1) + 4 * -(-max_model_len // config.block_size)
    num_rows, num_blocks = config.max_num_seqs, config.num_blocks or 1
    tables, cache = num_rows * row_bytes, num_blocks * block_bytes
    memory, where = _memory_of(device)
    if tables + cache <= memory:
        return
    raise OutOfDeviceMemoryError(
        f"max_num_seqs={num_rows} rows for max_model_len={max_model_len} tokens need "
        f"{_in_gib(tables)}, and num_blocks={num_blocks} blocks of {config.block_size} tokens "
        f"{_in_gib(cache)}; {where} {_in_gib(memory)}. Beside these blocks "
        f"{max(0, memory - cache) // row_bytes} rows would fit, and beside these rows "
        f"{max(0, memory - tables) // block_bytes} blocks; lower one of these options."
    )


def _memory_of(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0], f"free on {device} are"
    if not hasattr(os, "sysconf"):
        return sys.maxsize, "unknown here is how much there is, at most"
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine has"


def _in_gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"


def _affordable_on_gpu(
    config: EngineConfig, device: torch.device, block_bytes: int
) -> tuple[int, str]:
    """Blocks that fit into the free memory, less what the warm-up step needed at its peak."""
    stats = torch.cuda.memory_stats(device)
    peak, now = stats["allocated_bytes.all.peak"], stats["allocated_bytes.all.current"]
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    reserve = total * (1 - config.gpu_memory_utilization)
    room = int(free - (peak - now) - reserve)
    gib = 2**30
    why = (
        f"{config.gpu_memory_utilization:.0%} of {total / gib:.1f} GiB, less "
        f"{(total - free) / gib:.1f} GiB in use (weights and others) and {(peak - now) / gib:.1f} "
        f"GiB for a step of {config.max_num_batched_tokens} tokens"
    )
    return max(0, room // block_bytes), why
