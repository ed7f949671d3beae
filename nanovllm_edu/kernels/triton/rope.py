"""QK-norm and RoPE of queries and keys in one pass: one program per token, all its heads.

    q [T, H, D]   k [T, KH, D]   cos_sin [P, D] = cos of D/2 angles, then sin of the same

Turning pairs (i, i + D/2) needs each number's partner, so a program loads and stores heads in
halves. Decode attention goes on to multiply whole heads, which `rotated_heads` gives it: it loads
every head twice, as it is and with its halves swapped, which needs no shuffle.

Reference: `layers/ops.py`, `TorchOps.qk_norm_rope`.

Read next: `store_kv.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor


@triton.jit
def rotated_heads(
    heads_ptr, factor, bias_ptr, weight_ptr, angle_ptr, heads, is_head, eps,
    D: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_NORM: tl.constexpr,
):  # fmt: skip
    """Some heads of one token, times a factor, normalised and rotated: float32 [heads, D].

    `angle_ptr` is the token's row of `cos_sin`. Rows outside `is_head` come out as zeros.
    """
    dims = tl.arange(0, D)
    partners = (dims + D // 2) % D
    here = heads[:, None] * D + dims[None, :]
    there = heads[:, None] * D + partners[None, :]
    x = tl.load(heads_ptr + here, mask=is_head[:, None], other=0.0).to(tl.float32) * factor
    y = tl.load(heads_ptr + there, mask=is_head[:, None], other=0.0).to(tl.float32) * factor
    if HAS_BIAS:
        x += tl.load(bias_ptr + here, mask=is_head[:, None], other=0.0).to(tl.float32)
        y += tl.load(bias_ptr + there, mask=is_head[:, None], other=0.0).to(tl.float32)
    if HAS_NORM:
        scale = tl.rsqrt(tl.sum(x * x, axis=1) / D + eps)[:, None]
        x = x * scale * tl.load(weight_ptr + dims).to(tl.float32)[None, :]
        y = y * scale * tl.load(weight_ptr + partners).to(tl.float32)[None, :]
    cos = tl.load(angle_ptr + dims % (D // 2))
    sin = tl.load(angle_ptr + D // 2 + dims % (D // 2))
    # first' = first cos - second sin;  second' = second cos + first sin
    signed_sin = tl.where(dims < D // 2, -sin, sin)
    return x * cos[None, :] + y * signed_sin[None, :]


@triton.jit
def _norm_and_rotate(
    heads_ptr, out_ptr, weight_ptr, cos, sin, eps,
    HEADS: tl.constexpr, BLOCK_HEADS: tl.constexpr, D: tl.constexpr, HAS_NORM: tl.constexpr,
):  # fmt: skip
    """All heads of one token, in halves: [HEADS, D / 2] twice."""
    HALF: tl.constexpr = D // 2
    heads, dims = tl.arange(0, BLOCK_HEADS), tl.arange(0, HALF)
    is_head = (heads < HEADS)[:, None]
    here = heads[:, None] * D + dims[None, :]
    first = tl.load(heads_ptr + here, mask=is_head, other=0.0).to(tl.float32)
    second = tl.load(heads_ptr + here + HALF, mask=is_head, other=0.0).to(tl.float32)
    if HAS_NORM:
        squares = tl.sum(first * first + second * second, axis=1)
        scale = tl.rsqrt(squares / D + eps)[:, None]
        first *= scale * tl.load(weight_ptr + dims).to(tl.float32)[None, :]
        second *= scale * tl.load(weight_ptr + HALF + dims).to(tl.float32)[None, :]
    dtype = out_ptr.dtype.element_ty
    tl.store(out_ptr + here, (first * cos - second * sin).to(dtype), mask=is_head)
    tl.store(out_ptr + here + HALF, (second * cos + first * sin).to(dtype), mask=is_head)


@triton.jit
def _qk_norm_rope_kernel(
    q_ptr, k_ptr, q_weight_ptr, k_weight_ptr, positions_ptr, cos_sin_ptr, q_out_ptr, k_out_ptr,
    q_stride, k_stride, eps,
    H: tl.constexpr, KH: tl.constexpr, D: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_KH: tl.constexpr,
    HAS_Q_NORM: tl.constexpr, HAS_K_NORM: tl.constexpr,
):  # fmt: skip
    """One token: its query heads, then its key heads, by the same angles."""
    token = tl.program_id(0).to(tl.int64)
    angle_ptr = cos_sin_ptr + tl.load(positions_ptr + token) * D + tl.arange(0, D // 2)
    cos, sin = tl.load(angle_ptr)[None, :], tl.load(angle_ptr + D // 2)[None, :]
    _norm_and_rotate(
        q_ptr + token * q_stride, q_out_ptr + token * (H * D), q_weight_ptr, cos, sin, eps,
        H, BLOCK_H, D, HAS_Q_NORM,
    )  # fmt: skip
    _norm_and_rotate(
        k_ptr + token * k_stride, k_out_ptr + token * (KH * D), k_weight_ptr, cos, sin, eps,
        KH, BLOCK_KH, D, HAS_K_NORM,
    )  # fmt: skip


def qk_norm_rope(
    q: Float[Tensor, "tokens heads head_dim"],
    k: Float[Tensor, "tokens kv_heads head_dim"],
    positions: Int[Tensor, " tokens"],
    cos_sin: Float[Tensor, "max_positions head_dim"],
    q_weight: Float[Tensor, " head_dim"] | None,
    k_weight: Float[Tensor, " head_dim"] | None,
    eps: float,
) -> tuple[Float[Tensor, "tokens heads head_dim"], Float[Tensor, "tokens kv_heads head_dim"]]:
    """Normalise each head (where a weight is given), then rotate it to its position.

    `q` and `k` may be views of one merged projection: each token's heads must be contiguous, the
    stride between tokens is free.
    """
    num_tokens, num_heads, head_dim = q.shape
    num_kv_heads = k.shape[1]
    q, k = _heads_together(q), _heads_together(k)
    q_out = torch.empty((num_tokens, num_heads, head_dim), dtype=q.dtype, device=q.device)
    k_out = torch.empty((num_tokens, num_kv_heads, head_dim), dtype=k.dtype, device=k.device)
    if num_tokens:
        _qk_norm_rope_kernel[(num_tokens,)](
            q, k, q_weight, k_weight, positions, cos_sin, q_out, k_out,
            q.stride(0), k.stride(0), eps,
            H=num_heads, KH=num_kv_heads, D=head_dim,
            BLOCK_H=triton.next_power_of_2(num_heads),
            BLOCK_KH=triton.next_power_of_2(num_kv_heads),
            HAS_Q_NORM=q_weight is not None, HAS_K_NORM=k_weight is not None, num_warps=2,
        )  # fmt: skip
    return q_out, k_out


def _heads_together(x: Tensor) -> Tensor:
    """The tensor itself if a token's heads lie side by side, else a copy in which they do."""
    is_together = x.stride(2) == 1 and (x.shape[1] == 1 or x.stride(1) == x.shape[2])
    return x if is_together else x.contiguous()
