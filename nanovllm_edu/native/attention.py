"""Attention by our own C kernel, which reads the paged cache where it lies: the CPU's fast backend.

`native/paged_attention.c` is the lesson; this file has it compiled for a head size, checks what it
is given, for C will not, and calls it. One kernel serves every step: prompts, chunks, new
tokens, and all of them at once.

Reference: `attention/reference.py`. Where there is no compiler: `attention/sdpa.py`.
"""

from ctypes import CDLL
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from nanovllm_edu.attention.base import Attend
from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


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
        places = Places(batch.block_tables, sequences, batch.positions, batch.slot_mapping)
        return attend_at(places, kv_cache)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens of a step are, and what they see.

    Attributes:
        block_tables: int32 [S, max_blocks].
        sequences: Which row of `block_tables` each token has, int64 [T].
        positions: int64 [T].
        slots: Where each token's key and value go, int64 [T].
    """

    block_tables: Int[Tensor, "sequences max_blocks"]
    sequences: Int[Tensor, " tokens"]
    positions: Int[Tensor, " tokens"]
    slots: Int[Tensor, " tokens"]


def attend_at(places: Places, kv_cache: KVCache) -> Attend:
    """The attention of tokens whose places are known, and known to be good."""
    num_tokens, (block_size, num_kv_heads, head_dim) = len(places.slots), kv_cache.data.shape[-3:]
    lists = (places.block_tables, places.sequences, places.positions)
    library = kernels(head_dim)

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = q.contiguous(), _rows(k), _rows(v)
        group, remainder = divmod(q.shape[1], num_kv_heads)
        assert remainder == 0
        assert q.dtype == k.dtype == v.dtype == torch.float32
        assert q.shape == (num_tokens, group * num_kv_heads, head_dim)
        assert k.shape == v.shape == (num_tokens, num_kv_heads, head_dim)
        cached = kv_cache.data[layer].unbind()  # keys, and values
        library.store(
            *(array.data_ptr() for array in (*cached, k, v, places.slots)),
            *(k.stride(0), v.stride(0), num_tokens, num_kv_heads, num_threads()),
        )
        out = torch.empty_like(q)
        library.paged_attention(
            *(array.data_ptr() for array in (out, q, *cached, *lists)),
            places.block_tables.stride(0),
            num_tokens,
            num_kv_heads,
            group,
            block_size,
            num_threads(),
        )
        return out

    return attend


def _rows(heads: Tensor) -> Tensor:
    """The same, the heads of one token side by side."""
    return heads if heads.stride()[1:] == (heads.shape[2], 1) else heads.contiguous()


def _check(batch: Batch, kv_cache: KVCache) -> None:
    """What the kernel takes for granted: else it would read memory that is not the cache's."""
    tables, positions = batch.block_tables, batch.positions
    num_blocks, block_size = kv_cache.data.shape[2:4]
    assert kv_cache.data.dtype == torch.float32
    assert kv_cache.data[0, 0].is_contiguous()
    assert tables.dtype == torch.int32
    assert tables.stride(1) == 1
    assert int(tables.min()) >= 0
    assert int(tables.max()) < num_blocks
    assert positions.dtype == torch.int64
    assert positions.is_contiguous()
    assert len(positions) == sum(batch.query_lens)
    assert len(tables) == len(batch.query_lens)
    slots = batch.slot_mapping
    assert slots.dtype == torch.int64
    assert slots.is_contiguous()
    assert len(slots) == len(positions)
    assert int(slots.min()) >= 0
    assert int(slots.max()) < num_blocks * block_size
    assert int(positions.min()) >= 0
    assert int(positions.max()) < tables.shape[1] * block_size
