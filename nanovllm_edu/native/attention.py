"""Attention by our own C kernel, which reads the paged cache where it lies: the CPU's fast backend.

`native/paged_attention.c` is the lesson; this file has it compiled for a head size, checks what it
is given, for C will not, and calls it. One kernel serves every step: prompts, chunks, new
tokens, and all of them at once.

Reference: `attention/reference.py`. Where there is no compiler: `attention/sdpa.py`.
"""

from ctypes import CDLL
from functools import cache

import torch
from torch import Tensor

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


@cache
def kernels(head_dim: int) -> CDLL:
    """The compiled kernel for heads of `head_dim` numbers.

    Raises:
        CompileError: It cannot be compiled here.
    """
    return load_kernels("paged_attention.c", HEAD_DIM=head_dim)


def why_unavailable(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """The reason, with its remedy, why the C kernel cannot be used here; None if it can."""
    if device.type != "cpu":
        return f"our C kernel runs on a CPU, and device is {device}; use 'triton' or 'sdpa'"
    if dtype != torch.float32:
        return f"our C kernel reads float32, and dtype is {dtype}; use 'sdpa'"
    try:
        kernels(head_dim)
    except CompileError as error:
        return f"{error}; or use 'sdpa'"
    return None


class NativeAttention:
    """Paged attention in C, float32. Ask `why_unavailable` first."""

    name = "native"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        _check(batch, kv_cache)
        query_lens = torch.tensor(batch.query_lens)
        sequences = torch.arange(len(query_lens)).repeat_interleave(query_lens)
        lists = (batch.block_tables, sequences, batch.positions)
        num_tokens, (num_kv_heads, head_dim) = len(sequences), kv_cache.data.shape[-2:]
        kernel = kernels(head_dim).paged_attention

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            q = q.contiguous()
            group, remainder = divmod(q.shape[1], num_kv_heads)
            assert remainder == 0
            assert q.dtype == torch.float32
            assert q.shape == (num_tokens, group * num_kv_heads, head_dim)
            out = torch.empty_like(q)
            arrays = (out, q, kv_cache.keys(layer), kv_cache.values(layer), *lists)
            kernel(
                *(array.data_ptr() for array in arrays),
                batch.block_tables.stride(0),
                num_tokens,
                num_kv_heads,
                group,
                kv_cache.block_size,
                num_threads(),
            )
            return out

        return attend


def _check(batch: Batch, kv_cache: KVCache) -> None:
    """What the kernel takes for granted: else it would read memory that is not the cache's."""
    tables, positions = batch.block_tables, batch.positions
    assert kv_cache.data.dtype == torch.float32
    assert kv_cache.keys(0).is_contiguous()
    assert tables.dtype == torch.int32
    assert tables.stride(1) == 1
    assert int(tables.min()) >= 0
    assert int(tables.max()) < kv_cache.data.shape[2]
    assert positions.dtype == torch.int64
    assert positions.is_contiguous()
    assert len(positions) == sum(batch.query_lens)
    assert len(tables) == len(batch.query_lens)
    assert int(positions.min()) >= 0
    assert int(positions.max()) < tables.shape[1] * kv_cache.block_size
