"""Writes new keys and values where the slot mapping says: one program per token.

    k, v [T, KH, D]   cache [2, blocks, B, KH, D] (index 0: keys, 1: values)   slot_mapping [T]

A slot is a flat index over (block, offset): slot = block_id * B + offset. Since blocks are adjacent
in memory, a token's row starts at slot * KH * D, whatever the block size.

Reference: `attention/base.py`, `store`.

Read next: `flash.py`, which reads them back through the block table.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.paged.kv_cache import KVCache


@triton.jit
def _store_kv_kernel(
    k_ptr, v_ptr, k_cache_ptr, v_cache_ptr, slot_mapping_ptr, k_stride, v_stride,
    N: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One token: all of its keys and values, to its slot."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_mapping_ptr + token).to(tl.int64)
    columns = tl.arange(0, BLOCK_N)
    is_column = columns < N
    k = tl.load(k_ptr + token * k_stride + columns, mask=is_column)
    v = tl.load(v_ptr + token * v_stride + columns, mask=is_column)
    tl.store(k_cache_ptr + slot * N + columns, k, mask=is_column)
    tl.store(v_cache_ptr + slot * N + columns, v, mask=is_column)


def store_kv(
    kv_cache: KVCache,
    layer: int,
    slot_mapping: Int[Tensor, " tokens"],
    k: Float[Tensor, "tokens kv_heads head_dim"],
    v: Float[Tensor, "tokens kv_heads head_dim"],
) -> None:
    """Store each token's key and value in its slot.

    Args:
        kv_cache: Written in place.
        layer: Which layer of it.
        slot_mapping: Slot of each token, `block_id * block_size + offset`.
        k: Keys; a token's heads must be contiguous, the stride between tokens is free.
        v: Values, likewise.
    """
    num_tokens, num_kv_heads, head_dim = k.shape
    if num_tokens == 0:
        return
    width = num_kv_heads * head_dim
    _store_kv_kernel[(num_tokens,)](
        k, v, kv_cache.keys(layer), kv_cache.values(layer), slot_mapping, k.stride(0), v.stride(0),
        N=width, BLOCK_N=triton.next_power_of_2(width), num_warps=min(4, max(1, width // 256)),
    )  # fmt: skip
