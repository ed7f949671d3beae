"""The four GEMMs of a decoder layer, bound to what they read and write.

    residual  -> qkv  (-> attention)  -> residual  -> activation -> residual
              qkv                     o            gate_up       down

Four can make them, and a `GemmPlan` says who makes which:

    Triton   `kernels/triton/`: other GPUs, few rows
    FewRows  `kernels/hopper/few_rows.cu`: Hopper GPUs, up to 16 rows
    Hopper   `kernels/hopper/gemm.cu`: Hopper GPUs, 17 to 256 rows
    library  cuBLAS: with many rows there is more arithmetic for each byte, and that is what the
             library's GEMMs are made for

Where several GPUs share the model, what `o` and `down` make is a part of a sum, which follows.

The library multiplies what it is given, so a norm has to fit around its GEMM. Its weight is folded
into the matrix (`weights.py`), and the division by the row's rms, which commutes with the GEMM, is
made by whoever reads the result: attention, or the gate. They compute the rms from the residual
itself; our own GEMMs leave and read sums of squares instead.

Read next: `layer_attention.py`, `decoder.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from nanovllm_edu.fused_decode.gemm_plan import AnyTiles, GemmPlan
from nanovllm_edu.fused_decode.weights import LayerWeights, ModelWeights
from nanovllm_edu.kernels.hopper import few_rows
from nanovllm_edu.kernels.hopper.few_rows import FewRowsGemm, FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import PART, HopperGemm, HopperTiles
from nanovllm_edu.kernels.hopper.peer_sum import PeerSums
from nanovllm_edu.kernels.triton.activation import silu_and_mul
from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.norm_gate_up import norm_gate_up
from nanovllm_edu.kernels.triton.norm_project import norm_project
from nanovllm_edu.kernels.triton.project_add import SplitScratch, project_add, project_part
from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.layers.split import Place

Launch = Callable[[], object]
_CudaTiles = FewRowsTiles | HopperTiles


@dataclass(frozen=True)
class LayerGemms:
    """What launches each of a layer's GEMMs."""

    qkv: Launch
    o: Launch
    gate_up: Launch
    down: Launch


@dataclass(frozen=True)
class Operands:
    """What flows between the kernels of a step of M rows; layers take turns in it.

    Attributes:
        residual: The residual stream as `down` leaves it and `qkv` reads it.
        middle: The same stream as `o` leaves it and `gate_up` reads it: the sums of squares are
            others, because the two who write it are cut differently.
        qkv: [M, (H + 2 KH) D]
        attention: [M, H, D]
        activation: [M, I]
        o_part: [M, hidden], where `o` leaves its part of a sum; None if it adds to the residual.
        down_part: Likewise.
    """

    residual: Residual
    middle: Residual
    qkv: Tensor
    attention: Tensor
    activation: Tensor
    o_part: Tensor | None = None
    down_part: Tensor | None = None

    @classmethod
    def allocate(
        cls, weights: ModelWeights, num_rows: int, plan: GemmPlan, sums: PeerSums | None = None
    ) -> "Operands":
        """Uninitialised memory; `sums` write the residual, if several GPUs share the model."""
        hidden = weights.hidden_size
        dtype, device = weights.embedding.dtype, weights.embedding.device

        def rows(*shape: int) -> Tensor:
            return torch.empty(num_rows, *shape, dtype=dtype, device=device)

        def squares(tiles: AnyTiles) -> Tensor:
            if sums is not None or isinstance(tiles, HopperTiles):
                width = PART
            elif isinstance(tiles, FewRowsTiles):
                width = few_rows.PART
            else:
                width = tiles.n if tiles else hidden
            return torch.empty(num_rows, hidden // width, dtype=torch.float32, device=device)

        def part(place: Place) -> Tensor | None:
            return None if sums is None else sums.part(place, num_rows, hidden)

        values, weighted = rows(hidden), rows(hidden)
        return cls(
            residual=Residual(values, weighted, squares(plan.down)),
            middle=Residual(values, weighted, squares(plan.o)),
            qkv=rows(weights.layers[0].qkv.shape[0]),
            attention=rows(weights.num_heads, weights.head_dim),
            activation=rows(weights.intermediate_size),
            o_part=part(Place.ATTENTION),
            down_part=part(Place.MLP),
        )


def bind(
    weights: ModelWeights,
    operands: Operands,
    plan: GemmPlan,
    is_overlapped: bool,
    sums: PeerSums | None = None,
) -> tuple[LayerGemms, ...]:
    """The GEMMs of every layer; with `sums`, those that follow two of them too."""
    makers: dict[type, _Maker] = {
        Tiles: _Triton(operands, weights.eps, plan, is_overlapped),
        FewRowsTiles: _InCuda(FewRowsGemm, operands, weights.eps, is_overlapped),
        HopperTiles: _InCuda(HopperGemm, operands, weights.eps, is_overlapped),
        type(None): _Library(operands, weights.eps, is_overlapped),
    }
    norms = [None] * (len(weights.layers) - 1) + [weights.final_norm]
    gemms = [
        LayerGemms(
            qkv=makers[type(plan.qkv)].qkv(layer, plan.qkv),
            o=makers[type(plan.o)].o(layer, plan.o),
            gate_up=makers[type(plan.gate_up)].gate_up(layer, plan.gate_up),
            down=makers[type(plan.down)].down(layer, plan.down, norm),
        )
        for layer, norm in zip(weights.layers, norms, strict=True)
    ]
    if sums is None:
        return tuple(gemms)
    into = partial(sums.into, is_added=True, is_overlapped=is_overlapped)
    middle, residual = operands.middle, operands.residual
    return tuple(
        replace(
            one,
            o=_both(one.o, into(middle, Place.ATTENTION)),
            down=_both(one.down, into(residual, Place.MLP, norm_weight=norm)),
        )
        for one, norm in zip(gemms, norms, strict=True)
    )


def _both(first: Launch, second: Launch) -> Launch:
    def launch() -> None:
        first()
        second()

    return launch


class _Maker(Protocol):
    """Binds GEMMs of a layer that are cut in its way; `tiles` is None for the library."""

    def qkv(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def o(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def gate_up(self, layer: LayerWeights, tiles: Any) -> Launch: ...
    def down(self, layer: LayerWeights, tiles: Any, last_norm: Tensor | None) -> Launch: ...


class _Triton:
    def __init__(self, operands: Operands, eps: float, plan: GemmPlan, is_overlapped: bool) -> None:
        self._operands, self._eps = operands, eps
        self._options = launch_options(is_overlapped)
        tiles = [t for t in (plan.o, plan.down) if isinstance(t, Tiles)]
        num_rows, hidden = operands.residual.values.shape
        device = operands.qkv.device
        # None is never used: no tiles, nobody calls `_add`.
        scratch: Any = (
            SplitScratch.allocate(num_rows, hidden, tuple(tiles), device) if tiles else None
        )
        self._rest = {"scratch": scratch, "options": self._options}

    def _add(self, x: Tensor, w: Tensor, out: Residual, part: Tensor | None, **more: Any) -> Launch:
        if part is None:
            return partial(project_add, x, w, out, **more, **self._rest)
        return partial(project_part, x, w, part, tiles=more["tiles"], **self._rest)

    def qkv(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        x, out = self._operands.residual, self._operands.qkv
        return partial(norm_project, x, layer.qkv, out, self._eps, tiles, self._options)

    def o(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        x, out = self._operands.attention.flatten(1), self._operands.middle
        return self._add(x, layer.o, out, self._operands.o_part, tiles=tiles)

    def gate_up(self, layer: LayerWeights, tiles: Tiles) -> Launch:
        x, out = self._operands.middle, self._operands.activation
        return partial(norm_gate_up, x, layer.gate_up, out, self._eps, tiles, self._options)

    def down(self, layer: LayerWeights, tiles: Tiles, last_norm: Tensor | None) -> Launch:
        x, out = self._operands.activation, self._operands.residual
        part = self._operands.down_part
        return self._add(x, layer.down, out, part, tiles=tiles, norm_weight=last_norm)


class _InCuda:
    """`gemm` binds one; both kinds want the same operands, cut in their own way."""

    def __init__(
        self,
        gemm: type[FewRowsGemm | HopperGemm],
        operands: Operands,
        eps: float,
        is_overlapped: bool,
    ) -> None:
        self._gemm, self._is_overlapped = gemm, is_overlapped
        self._operands, self._eps = operands, eps

    def _launch(self, kind: str, *operands: Any, **options: Any) -> Launch:
        return partial(self._gemm(kind, *operands, **options).launch, self._is_overlapped)

    def qkv(self, layer: LayerWeights, tiles: _CudaTiles) -> Launch:
        x, out = self._operands.residual, self._operands.qkv
        return self._launch("PROJECT", x.values, layer.qkv, out, x.squares, tiles, eps=self._eps)

    def o(self, layer: LayerWeights, tiles: _CudaTiles) -> Launch:
        x, out = self._operands.attention.flatten(1), self._operands.middle
        if (part := self._operands.o_part) is not None:
            return self._launch("PLAIN", x, layer.o, part, out.squares, tiles)
        return self._launch("ADD", x, layer.o, out.values, out.squares, tiles)

    def gate_up(self, layer: LayerWeights, tiles: _CudaTiles) -> Launch:
        x, out = self._operands.middle, self._operands.activation
        return self._launch(
            "GATE_UP", x.values, layer.gate_up, out, x.squares, tiles, eps=self._eps
        )

    def down(self, layer: LayerWeights, tiles: _CudaTiles, last_norm: Tensor | None) -> Launch:
        x, out = self._operands.activation, self._operands.residual
        if (part := self._operands.down_part) is not None:
            return self._launch("PLAIN", x, layer.down, part, out.squares, tiles)
        return self._launch(
            "ADD", x, layer.down, out.values, out.squares, tiles,
            weighted=out.weighted, norm_weight=last_norm,
        )  # fmt: skip


class _Library:
    def __init__(self, operands: Operands, eps: float, is_overlapped: bool) -> None:
        self._operands, self._eps, self._is_overlapped = operands, eps, is_overlapped
        self._residual = operands.residual.values

    def qkv(self, layer: LayerWeights, tiles: None) -> Launch:
        return partial(torch.mm, self._residual, layer.qkv.T, out=self._operands.qkv)

    def o(self, layer: LayerWeights, tiles: None) -> Launch:
        return self._add(self._operands.attention.flatten(1), layer.o, self._operands.o_part)

    def gate_up(self, layer: LayerWeights, tiles: None) -> Launch:
        def launch() -> None:
            silu_and_mul(
                self._residual @ layer.gate_up.T,
                self._residual,
                self._eps,
                out=self._operands.activation,
                is_overlapped=self._is_overlapped,
            )

        return launch

    def down(self, layer: LayerWeights, tiles: None, last_norm: Tensor | None) -> Launch:
        return self._add(self._operands.activation, layer.down, self._operands.down_part)

    def _add(self, x: Tensor, w: Tensor, part: Tensor | None) -> Launch:
        if part is not None:
            return partial(torch.mm, x, w.T, out=part)
        return partial(self._residual.addmm_, x, w.T)
