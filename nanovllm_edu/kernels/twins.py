"""What each fused kernel computes, in torch: short, unfused, and what the tests compare with.

The unfused operations have their twins elsewhere: `layers/ops.py` (norms, RoPE, SiLU),
`attention/reference.py` (attention) and `sampling/` (noise, filters).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.attention.reference import attend_one, gather
from nanovllm_edu.kernels.paged_decode import NewTokens
from nanovllm_edu.layers.ops import TorchOps
from nanovllm_edu.sampling import stages
from nanovllm_edu.sampling.random import gumbel_noise

OPS = TorchOps()


def norm_project(
    residual: Float[Tensor, "rows hidden"],
    norm_weight: Float[Tensor, " hidden"],
    w: Float[Tensor, "outputs hidden"],
    eps: float,
) -> Float[Tensor, "rows outputs"]:
    """The norm, then the product."""
    return OPS.rms_norm(residual, norm_weight, eps) @ w.T


def norm_gate_up(
    residual: Float[Tensor, "rows hidden"],
    norm_weight: Float[Tensor, " hidden"],
    w: Float[Tensor, "twice_intermediate hidden"],
    eps: float,
) -> Float[Tensor, "rows intermediate"]:
    """The MLP's first half."""
    return OPS.silu_and_mul(norm_project(residual, norm_weight, w, eps))


def project_add(
    x: Float[Tensor, "rows inputs"],
    w: Float[Tensor, "hidden inputs"],
    residual: Float[Tensor, "rows hidden"],
) -> Float[Tensor, "rows hidden"]:
    """The new residual stream."""
    return residual + x @ w.T


def decode_attention(
    qkv: Float[Tensor, "rows outputs"],
    cache_layer: Float[Tensor, "2 blocks block_size kv_heads head_dim"],
    block_tables: Int[Tensor, "slots max_blocks"],
    table_rows: Int[Tensor, " rows"],
    context_lens: Int[Tensor, " rows"],
    num_heads: int,
    new: NewTokens,
) -> Float[Tensor, "rows heads head_dim"]:
    """Norm and rotate queries and keys, store key and value, attend. Writes to the cache."""
    _, _, block_size, num_kv_heads, head_dim = cache_layer.shape
    if new.stream is not None:
        rms = (new.stream.square().mean(1, keepdim=True) + new.eps).sqrt()
        qkv = qkv / rms
    if new.bias is not None:
        qkv = qkv + new.bias
    parts = (num_heads, num_kv_heads, num_kv_heads)
    q, k, v = qkv.view(len(qkv), -1, head_dim).split(parts, dim=1)
    positions = context_lens.long() - 1
    q, k = OPS.qk_norm_rope(q, k, positions, new.cos_sin, new.q_weight, new.k_weight, new.eps)
    out = torch.empty_like(q)
    for row, length in enumerate(context_lens.tolist()):
        table = block_tables[table_rows[row]]
        block, offset = table[(length - 1) // block_size], (length - 1) % block_size
        cache_layer[0, block, offset], cache_layer[1, block, offset] = k[row], v[row]
        keys, values = (gather(part, table, length) for part in cache_layer)
        out[row] = attend_one(q[row], keys, values)
    return out


def drop_unlikely(
    logits: Float[Tensor, "rows vocab"],
    temperatures: Float[Tensor, " rows"],
    top_ks: Int[Tensor, " rows"],
    top_ps: Float[Tensor, " rows"],
    min_ps: Float[Tensor, " rows"],
) -> Float[Tensor, "rows vocab"]:
    """The logits with those that the filters drop at -inf; greedy rows keep all of theirs."""
    divisors = torch.where(temperatures > 0, temperatures, 1.0)
    scaled = stages.apply_temperature(logits.float(), divisors)
    kept = stages.apply_min_p(scaled, min_ps)
    kept = stages.apply_top_p(stages.apply_top_k(kept, top_ks), top_ps)
    is_dropped = (kept == stages.DROPPED) & (temperatures > 0)[:, None]
    return logits.masked_fill(is_dropped, stages.DROPPED)


def sample(
    logits: Float[Tensor, "rows vocab"],
    seeds: Int[Tensor, " rows"],
    positions: Int[Tensor, " rows"],
    temperatures: Float[Tensor, " rows"],
) -> Float[Tensor, "rows vocab"]:
    """What sampling takes the maximum of: scores. Their argmax is the token."""
    is_random = (temperatures > 0)[:, None]
    divisors = torch.where(temperatures > 0, temperatures, 1.0)[:, None]
    return logits / divisors + is_random * gumbel_noise(seeds, positions, logits.shape[1])
