"""`NativeOps`: the model's four memory-bound operations in C, for float32 on a CPU.

Read next: `ops.c`; the reference is `layers/ops.py`.
"""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads

functions = partial(load_kernels, "ops.c")


def why_unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why the operations in C cannot be used here; None if they can."""
    if device.type != "cpu":
        return f"they run on a CPU, and device is {device}"
    if dtype != torch.float32:
        return f"they compute in float32, and dtype is {dtype}"
    try:
        functions()
    except CompileError as error:
        return str(error)
    return None


class NativeOps:
    """Same contract as `TorchOps`, one pass per operation. Ask `why_unavailable` first."""

    def rms_norm(
        self, x: Float[Tensor, "*rows dim"], weight: Float[Tensor, " dim"], eps: float
    ) -> Float[Tensor, "*rows dim"]:
        """See `Ops`."""
        x = x.contiguous()
        dim = x.shape[-1]
        out = torch.empty_like(x)
        functions().rms_norm(
            _address(out),
            _address(x),
            _address(weight, dim),
            x.numel() // dim,
            dim,
            eps,
            num_threads(),
        )
        return out

    def add_rms_norm(
        self,
        x: Float[Tensor, "tokens dim"],
        residual: Float[Tensor, "tokens dim"],
        weight: Float[Tensor, " dim"],
        eps: float,
    ) -> tuple[Float[Tensor, "tokens dim"], Float[Tensor, "tokens dim"]]:
        """See `Ops`."""
        x, residual = x.contiguous(), residual.contiguous()
        out, stream = torch.empty_like(x), torch.empty_like(x)
        inputs = (_address(x), _address(residual, *x.shape), _address(weight, x.shape[1]))
        functions().add_rms_norm(
            _address(out), _address(stream), *inputs, *x.shape, eps, num_threads()
        )
        return out, stream

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
        """See `Ops`."""
        return (
            _norm_and_rotate(q, positions, cos_sin, q_weight, eps),
            _norm_and_rotate(k, positions, cos_sin, k_weight, eps),
        )

    def silu_and_mul(
        self, gate_up: Float[Tensor, "tokens twice_intermediate"]
    ) -> Float[Tensor, "tokens intermediate"]:
        """See `Ops`."""
        gate_up = gate_up.contiguous()
        out = gate_up.new_empty(len(gate_up), gate_up.shape[1] // 2)
        functions().silu_and_mul(_address(out), _address(gate_up), *out.shape, num_threads())
        return out


def _norm_and_rotate(
    heads: Tensor, positions: Tensor, cos_sin: Tensor, weight: Tensor | None, eps: float
) -> Tensor:
    """`[tokens, heads, head_dim]`, of which only the heads of one token must lie side by side."""
    num_tokens, _, head_dim = heads.shape
    if heads.stride()[1:] != (head_dim, 1):
        heads = heads.contiguous()
    out = heads.new_empty(heads.shape)
    assert positions.dtype == torch.int64
    assert positions.is_contiguous()
    assert len(positions) == num_tokens
    are_positions_known = functions().norm_and_rotate(
        _address(out),
        heads.data_ptr(),
        None if weight is None else _address(weight, head_dim),
        _address(cos_sin, len(cos_sin), head_dim),
        positions.data_ptr(),
        *heads.shape,
        heads.stride(0),
        len(cos_sin),
        eps,
        num_threads(),
    )
    assert are_positions_known
    return out


def _address(tensor: Tensor, *shape: int) -> int:
    """Where float32 numbers lie, of that shape if one is given: C takes both on trust."""
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert not shape or tensor.shape == shape
    return tensor.data_ptr()
