"""From the qkv projection to attention in one pass: norm and rotate, and store what is new.

    qkv [T, (H + 2 KH) D]   ->   queries [T, H, D],   keys and values in their slots of the cache

It is `rope.py` and `store_kv.py` in one: rotated keys go straight to the cache, so they are written
once and read by nobody in between. One program per token.

Torch twin: `twins.py`, `rotate_and_store`. Read next: `library_decode.py`, which uses it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.paged_decode import NewTokens
from nanovllm_edu.kernels.rope import rotated_heads


@triton.jit
def _rotate_and_store_kernel(
    qkv_ptr, bias_ptr, q_weight_ptr, k_weight_ptr, cos_sin_ptr, positions_ptr, slots_ptr,
    q_out_ptr, k_cache_ptr, v_cache_ptr, eps,
    H: tl.constexpr, KH: tl.constexpr, D: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_KH: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_QK_NORM: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    qkv_ptr += token * (H + 2 * KH) * D
    angle_ptr = cos_sin_ptr + tl.load(positions_ptr + token) * D
    slot = tl.load(slots_ptr + token) * (KH * D)
    dims = tl.arange(0, D)[None, :]

    kv_heads = tl.arange(0, BLOCK_KH)
    is_kv_head = kv_heads < KH
    kv_cells = kv_heads[:, None] * D + dims
    k = rotated_heads(
        qkv_ptr + H * D, bias_ptr + H * D if HAS_BIAS else None, k_weight_ptr, angle_ptr,
        kv_heads, is_kv_head, eps, D, HAS_BIAS, HAS_QK_NORM,
    )  # fmt: skip
    k = k.to(k_cache_ptr.dtype.element_ty)
    tl.store(k_cache_ptr + slot + kv_cells, k, mask=is_kv_head[:, None])
    v_cells = (H + KH) * D + kv_cells
    v = tl.load(qkv_ptr + v_cells, mask=is_kv_head[:, None])
    if HAS_BIAS:
        v += tl.load(bias_ptr + v_cells, mask=is_kv_head[:, None])
    tl.store(v_cache_ptr + slot + kv_cells, v, mask=is_kv_head[:, None])

    heads = tl.arange(0, BLOCK_H)
    q = rotated_heads(
        qkv_ptr, bias_ptr, q_weight_ptr, angle_ptr, heads, heads < H, eps,
        D, HAS_BIAS, HAS_QK_NORM,
    )  # fmt: skip
    out = q_out_ptr + token * (H * D) + heads[:, None] * D + dims
    tl.store(out, q.to(q_out_ptr.dtype.element_ty), mask=(heads < H)[:, None])


def rotate_and_store(
    qkv: Tensor, cache_layer: Tensor, positions: Tensor, slot_mapping: Tensor, new: NewTokens
) -> Tensor:
    """Store each token's key and value, and return its queries `[T, H, D]`.

    Args:
        qkv: `[T, (H + 2 KH) D]`, contiguous, without the projection's bias.
        cache_layer: `[2, blocks, B, KH, D]`, written.
        positions: int64 [T].
        slot_mapping: int64 [T], `block_id * B + offset`.
        new: Bias, norms and angles.
    """
    num_tokens, width = qkv.shape
    num_kv_heads, head_dim = cache_layer.shape[-2:]
    num_heads = width // head_dim - 2 * num_kv_heads
    q = torch.empty(num_tokens, num_heads, head_dim, dtype=qkv.dtype, device=qkv.device)
    _rotate_and_store_kernel[(num_tokens,)](
        qkv, new.bias, new.q_weight, new.k_weight, new.cos_sin, positions, slot_mapping,
        q, cache_layer[0], cache_layer[1], new.eps,
        H=num_heads, KH=num_kv_heads, D=head_dim,
        BLOCK_H=triton.next_power_of_2(num_heads),
        BLOCK_KH=triton.next_power_of_2(num_kv_heads),
        HAS_BIAS=new.bias is not None, HAS_QK_NORM=new.q_weight is not None, num_warps=4,
    )  # fmt: skip
    return q
