"""The four memory-bound operations of a decoder, each written so that it can be read.

A matrix product keeps a GPU's arithmetic busy. These four do not: a norm, a rotation or a gate does
a handful of additions per number it reads, so its cost is the reading and writing. Fusing each into
one kernel saves whole passes over memory, and that is why they, and only they, sit behind the `Ops`
protocol. `TorchOps` is the readable reference that `kernels/` (for a GPU) and `native/` (for a CPU)
are tested against.

Knows nothing of layers, weights' names, sequences or phases.

Read next: `rotary.py` (where `cos_sin` comes from), then `models/qwen3.py` (who calls these).
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


@runtime_checkable
class Ops(Protocol):
    """What a model needs besides matrix products, embeddings and attention.

    Every method computes in float32 and returns its inputs' dtype. None changes an input; none
    looks at a value on the host, so all of them can be captured in a CUDA graph.
    """

    def rms_norm(
        self, x: Float[Tensor, "*rows dim"], weight: Float[Tensor, " dim"], eps: float
    ) -> Float[Tensor, "*rows dim"]:
        """Scale each row to a root mean square of 1, then by `weight`."""
        ...

    def add_rms_norm(
        self,
        x: Float[Tensor, "tokens dim"],
        residual: Float[Tensor, "tokens dim"],
        weight: Float[Tensor, " dim"],
        eps: float,
    ) -> tuple[Float[Tensor, "tokens dim"], Float[Tensor, "tokens dim"]]:
        """Return `(norm(x + residual), x + residual)`: the next input and the new residual."""
        ...

    def qk_norm_rope(
        self,
        q: Float[Tensor, "tokens heads head_dim"],
        k: Float[Tensor, "tokens kv_heads head_dim"],
        positions: Int[Tensor, " tokens"],
        cos_sin: Float[Tensor, "max_positions head_dim"],
        q_weight: Float[Tensor, " head_dim"] | None,
        k_weight: Float[Tensor, " head_dim"] | None,
        eps: float,
    ) -> tuple[Float[Tensor, "tokens heads head_dim"], Float[Tensor, "tokens kv_heads head_dim"]]:
        """Normalise each head (where a weight is given), then rotate it to its position.

        `q` and `k` may be strided views of one merged projection; only the last axis is contiguous.
        """
        ...

    def silu_and_mul(
        self, gate_up: Float[Tensor, "tokens twice_intermediate"]
    ) -> Float[Tensor, "tokens intermediate"]:
        """Return `silu(gate) * up`, where a row of `gate_up` is gate, then up."""
        ...


class TorchOps:
    """The operations in plain torch, on any device. Short enough to check by eye."""

    def rms_norm(
        self, x: Float[Tensor, "*rows dim"], weight: Float[Tensor, " dim"], eps: float
    ) -> Float[Tensor, "*rows dim"]:
        """RMSNorm (Zhang and Sennrich, 2019): a LayerNorm that keeps the mean."""
        return _rms_norm(x.float(), weight, eps).to(x.dtype)

    def add_rms_norm(
        self,
        x: Float[Tensor, "tokens dim"],
        residual: Float[Tensor, "tokens dim"],
        weight: Float[Tensor, " dim"],
        eps: float,
    ) -> tuple[Float[Tensor, "tokens dim"], Float[Tensor, "tokens dim"]]:
        """Add, round the sum to the residual's dtype, and normalise that rounded sum."""
        residual = x + residual
        return self.rms_norm(residual, weight, eps), residual

    def qk_norm_rope(
        self,
        q: Float[Tensor, "tokens heads head_dim"],
        k: Float[Tensor, "tokens kv_heads head_dim"],
        positions: Int[Tensor, " tokens"],
        cos_sin: Float[Tensor, "max_positions head_dim"],
        q_weight: Float[Tensor, " head_dim"] | None,
        k_weight: Float[Tensor, " head_dim"] | None,
        eps: float,
    ) -> tuple[Float[Tensor, "tokens heads head_dim"], Float[Tensor, "tokens kv_heads head_dim"]]:
        """Queries and keys get the same treatment, each with its own norm weight."""
        # [tokens, 1, half]: one angle per token and frequency, the same for all heads.
        cos, sin = cos_sin[positions].unsqueeze(1).chunk(2, dim=-1)
        return (
            _norm_and_rotate(q, cos, sin, q_weight, eps),
            _norm_and_rotate(k, cos, sin, k_weight, eps),
        )

    def silu_and_mul(
        self, gate_up: Float[Tensor, "tokens twice_intermediate"]
    ) -> Float[Tensor, "tokens intermediate"]:
        """SwiGLU's elementwise half (Shazeer, 2020)."""
        gate, up = gate_up.float().chunk(2, dim=-1)
        return (F.silu(gate) * up).to(gate_up.dtype)


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Normalise float32 `x` over its last axis."""
    mean_square = x.pow(2).mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(mean_square + eps) * weight.float()


def _norm_and_rotate(
    heads: Tensor, cos: Tensor, sin: Tensor, weight: Tensor | None, eps: float
) -> Tensor:
    """Apply the optional per-head norm, then the rotation, to `[tokens, heads, head_dim]`.

    RoPE (Su et al., 2021) turns pairs of numbers by an angle proportional to the position, so that
    a dot product of query and key depends on their distance alone. Checkpoints in the Hugging Face
    layout pair number i with number i + head_dim / 2, not with its neighbour.
    """
    x = heads.float()
    if weight is not None:
        x = _rms_norm(x, weight, eps)
    first, second = x.chunk(2, dim=-1)
    rotated = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return rotated.to(heads.dtype)
