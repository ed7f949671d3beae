"""The four matrix products of a decoder layer, bound to what they read and write.

    stream  -> qkv  (-> attention)  -> stream  -> activation -> stream
            qkv                     o          gate_up       down

Three can make them, and `tile_plan.py` says who makes which, by the number of rows:

    Triton   `projections.py`: any GPU, few rows
    Hopper   `hopper_product.cu`: Hopper GPUs, up to 256 rows
    library  cuBLAS: with many rows there is more arithmetic for each byte, and that is what the
             library's products are made for

The library multiplies what it is given, so a norm has to fit around its product. Its weight is
folded into the matrix (`weights.py`), and the division by the row's rms, which commutes with the
product, is made by whoever reads the result: attention, or the gate. They compute the rms from the
stream itself; our own products leave and read sums of squares instead.

Read next: `layer_attention.py`, `fused_decode.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from nanovllm_edu.kernels import hopper
from nanovllm_edu.kernels.activation import silu_and_mul
from nanovllm_edu.kernels.hopper_product import HopperProduct, HopperTiles
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.matmul import Tiles
from nanovllm_edu.kernels.projections import (
    SplitScratch,
    Stream,
    norm_gate_up,
    norm_project,
    project_add,
)
from nanovllm_edu.kernels.tile_plan import HOPPER_PLANS, ProductPlan
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
    weights: ModelWeights, operands: Operands, plan: ProductPlan, is_overlapped: bool
) -> tuple[LayerProducts, ...]:
    """The products of every layer."""
    makers: dict[type, _Maker] = {
        Tiles: _Triton(operands, weights.eps, plan, is_overlapped),
        HopperTiles: _Hopper(operands, weights.eps, is_overlapped),
        type(None): _Library(operands, weights.eps, is_overlapped),
    }
    norms = [None] * (len(weights.layers) - 1) + [weights.final_norm]
    return tuple(
        LayerProducts(
            qkv=makers[type(plan.qkv)].qkv(layer, plan.qkv),
            o=makers[type(plan.o)].o(layer, plan.o),
            gate_up=makers[type(plan.gate_up)].gate_up(layer, plan.gate_up),
            down=makers[type(plan.down)].down(layer, plan.down, norm),
        )
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
            if isinstance(tiles, HopperTiles) and not tiles.fits(kind, num_columns, depth):
                return f"no tiles were measured for products of {depth} x {num_columns}"
        if plan.num_parts(hidden) % 16:
            return f"a hidden size of {hidden} does not give 16 sums of squares at a time"
    return None


class _Maker(Protocol):
    """Binds products of a layer that are cut in its way; `tiles` is None for the library."""

    def qkv(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def o(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def gate_up(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def down(self, layer: LayerWeights, tiles: Any, last_norm: Tensor | None) -> Launch: ...


class _Triton:
    def __init__(
        self, operands: Operands, eps: float, plan: ProductPlan, is_overlapped: bool
    ) -> None:
        self._operands, self._eps, self._stream = operands, eps, operands.stream
        self._options = launch_options(is_overlapped)
        tiles = [t for t in (plan.o, plan.down) if isinstance(t, Tiles)]
        shape, device = operands.stream.residual.shape, operands.qkv.device
        scratch = SplitScratch.allocate(*shape, tiles, device) if tiles else None
        self._add = partial(
            project_add, stream=self._stream, scratch=scratch, options=self._options
        )

    def qkv(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        out = self._operands.qkv
        return partial(norm_project, self._stream, layer.qkv, out, self._eps, tiles, self._options)

    def o(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        return partial(self._add, self._operands.attention.flatten(1), layer.o, tiles=tiles)

    def gate_up(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        out = self._operands.activation
        return partial(
            norm_gate_up, self._stream, layer.gate_up, out, self._eps, tiles, self._options
        )

    def down(self, layer: LayerWeights, tiles: Tiles, last_norm: Tensor | None) -> Launch:
        x = self._operands.activation
        return partial(self._add, x, layer.down, tiles=tiles, norm_weight=last_norm)


class _Hopper:
    def __init__(self, operands: Operands, eps: float, is_overlapped: bool) -> None:
        self._operands, self._eps, self._is_overlapped = operands, eps, is_overlapped
        self._stream, self._squares = operands.stream.residual, operands.stream.squares

    def _launch(self, kind: str, x: Tensor, w: Tensor, out: Tensor, *rest, **options) -> Launch:
        product = HopperProduct(kind, x, w, out, self._squares, *rest, **options)
        return partial(product.launch, self._is_overlapped)

    def qkv(self, layer: LayerWeights, tiles: HopperTiles) -> Launch:
        out = self._operands.qkv
        return self._launch("PROJECT", self._stream, layer.qkv, out, tiles, eps=self._eps)

    def o(self, layer: LayerWeights, tiles: HopperTiles) -> Launch:
        x = self._operands.attention.flatten(1)
        return self._launch("ADD", x, layer.o, self._stream, tiles)

    def gate_up(self, layer: LayerWeights, tiles: HopperTiles) -> Launch:
        out = self._operands.activation
        return self._launch("GATE_UP", self._stream, layer.gate_up, out, tiles, eps=self._eps)

    def down(self, layer: LayerWeights, tiles: HopperTiles, last_norm: Tensor | None) -> Launch:
        return self._launch(
            "ADD", self._operands.activation, layer.down, self._stream, tiles,
            weighted=self._operands.stream.weighted, norm_weight=last_norm,
        )  # fmt: skip


class _Library:
    def __init__(self, operands: Operands, eps: float, is_overlapped: bool) -> None:
        self._operands, self._eps, self._is_overlapped = operands, eps, is_overlapped
        self._stream = operands.stream.residual

    def qkv(self, layer: LayerWeights, tiles: None) -> Launch:
        return partial(torch.mm, self._stream, layer.qkv.T, out=self._operands.qkv)

    def o(self, layer: LayerWeights, tiles: None) -> Launch:
        return partial(self._stream.addmm_, self._operands.attention.flatten(1), layer.o.T)

    def gate_up(self, layer: LayerWeights, tiles: None) -> Launch:
        def launch() -> None:
            silu_and_mul(
                self._stream @ layer.gate_up.T,
                self._stream,
                self._eps,
                out=self._operands.activation,
                is_overlapped=self._is_overlapped,
            )

        return launch

    def down(self, layer: LayerWeights, tiles: None, last_norm: Tensor | None) -> Launch:
        return partial(self._stream.addmm_, self._operands.activation, layer.down.T)
