"""The four matrix products of a decoder layer, bound to what they read and write.

    stream  -> qkv  (-> attention)  -> stream  -> activation -> stream
            qkv                     o          gate_up       down

Two kernels can make them: `projections.py`, in Triton, which runs on any GPU and is for a few rows;
and `hopper_product.cu`, for Hopper alone and up to 128 rows. Which tiles, and which of the two, is
in `tile_plan.py`.

Read next: `fused_decode.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nanovllm_edu.kernels import hopper
from nanovllm_edu.kernels.hopper import HopperProduct
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.projections import (
    SplitScratch,
    Stream,
    norm_gate_up,
    norm_project,
    project_add,
)
from nanovllm_edu.kernels.tile_plan import HOPPER_PLANS, HopperPlan, TilePlan
from nanovllm_edu.kernels.weights import LayerWeights, ModelWeights

Launch = Callable[[], None]


@dataclass(frozen=True)
class LayerProducts:
    """What launches each of a layer's products."""

    qkv: Launch
    o: Launch
    gate_up: Launch
    down: Launch


@dataclass(frozen=True)
class Operands:
    """What flows between the kernels of a step of M rows; layers take turns in it.

    Attributes:
        stream: The residual stream.
        qkv: [M, (H + 2 KH) D]
        attention: [M, H, D]
        activation: [M, I]
    """

    stream: Stream
    qkv: Tensor
    attention: Tensor
    activation: Tensor

    @classmethod
    def allocate(cls, weights: ModelWeights, num_rows: int, num_parts: int) -> "Operands":
        """Uninitialised memory. `o` and `down` write the stream in `num_parts` tiles."""
        dtype, device = weights.embedding.dtype, weights.embedding.device

        def rows(*shape: int) -> Tensor:
            return torch.empty(num_rows, *shape, dtype=dtype, device=device)

        return cls(
            stream=Stream.allocate(num_rows, weights.hidden_size, num_parts, dtype, device),
            qkv=rows(weights.layers[0].qkv.shape[0]),
            attention=rows(weights.num_heads, weights.head_dim),
            activation=rows(weights.intermediate_size),
        )


def bind(
    weights: ModelWeights, operands: Operands, plan: TilePlan | HopperPlan, is_overlapped: bool
) -> tuple[LayerProducts, ...]:
    """The products of every layer."""
    if isinstance(plan, HopperPlan):
        make = partial(_hopper, plan=plan)
    else:
        stream = operands.stream.residual
        scratch = SplitScratch.allocate(*stream.shape, (plan.o, plan.down), stream.device)
        make = partial(_triton, plan=plan, scratch=scratch)
    norms = [None] * (len(weights.layers) - 1) + [weights.final_norm]
    return tuple(
        make(layer, operands, eps=weights.eps, last_norm=norm, is_overlapped=is_overlapped)
        for layer, norm in zip(weights.layers, norms, strict=True)
    )


def why_not_hopper(weights: ModelWeights) -> str | None:
    """The reason why a model's products cannot be made by `hopper_product.cu`; None if they can."""
    reason = hopper.why_unavailable(weights.embedding.device, weights.embedding.dtype)
    if reason:
        return reason
    layer, hidden = weights.layers[0], weights.hidden_size
    for plan in HOPPER_PLANS.values():
        products = (
            ("PROJECT", plan.qkv, *layer.qkv.shape),
            ("ADD", plan.o, *layer.o.shape),
            ("GATE_UP", plan.gate_up, weights.intermediate_size, hidden),
            ("ADD", plan.down, *layer.down.shape),
        )
        for kind, tiles, num_columns, depth in products:
            if not tiles.fits(kind, num_columns, depth):
                return f"no tiles were measured for products of {depth} x {num_columns}"
        if hidden // plan.o.n % 16:
            return f"a hidden size of {hidden} does not give 16 sums of squares at a time"
    return None


def _triton(
    layer: LayerWeights,
    operands: Operands,
    plan: TilePlan,
    scratch: SplitScratch,
    eps: float,
    last_norm: Tensor | None,
    is_overlapped: bool,
) -> LayerProducts:
    stream, options = operands.stream, launch_options(is_overlapped)
    add = partial(project_add, stream=stream, scratch=scratch, options=options)
    attention, activation = operands.attention.flatten(1), operands.activation
    return LayerProducts(
        qkv=partial(norm_project, stream, layer.qkv, operands.qkv, eps, plan.qkv, options),
        o=partial(add, attention, layer.o, tiles=plan.o),
        gate_up=partial(
            norm_gate_up, stream, layer.gate_up, activation, eps, plan.gate_up, options
        ),
        down=partial(add, activation, layer.down, tiles=plan.down, norm_weight=last_norm),
    )


def _hopper(
    layer: LayerWeights,
    operands: Operands,
    plan: HopperPlan,
    eps: float,
    last_norm: Tensor | None,
    is_overlapped: bool,
) -> LayerProducts:
    stream, squares = operands.stream.residual, operands.stream.squares
    attention, activation = operands.attention.flatten(1), operands.activation
    qkv = HopperProduct("PROJECT", stream, layer.qkv, operands.qkv, squares, plan.qkv, eps=eps)
    o = HopperProduct("ADD", attention, layer.o, stream, squares, plan.o)
    gate_up = HopperProduct(
        "GATE_UP", stream, layer.gate_up, activation, squares, plan.gate_up, eps=eps
    )
    down = HopperProduct(
        "ADD", activation, layer.down, stream, squares, plan.down,
        weighted=operands.stream.weighted, norm_weight=last_norm,
    )  # fmt: skip
    return LayerProducts(*(partial(p.launch, is_overlapped) for p in (qkv, o, gate_up, down)))
