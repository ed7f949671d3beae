"""`GemmPlan`: who makes each of a layer's four GEMMs in a step, and how it is cut.

The best choice depends on the shape and on the number of rows, which decide what is scarce: with
few rows, programs that keep the memory busy; with many, the way between the L2 cache and the
multiprocessors; with more still, arithmetic. So a plan belongs to one shape, and to the steps of up
to so many rows. `gemm_candidates.py` says what comes into question, `gemm_choice.py` measures it.

Read next: `gemm_candidates.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import HopperTiles
from nanovllm_edu.kernels.measured import entry_for
from nanovllm_edu.kernels.triton.gemm import Tiles

AnyTiles = Tiles | FewRowsTiles | HopperTiles | None
"""In Triton, in CUDA C++ for Hopper (two ways), or by the library, which cuts as it likes."""

MAKERS = {
    Tiles: "Triton",
    FewRowsTiles: "CUDA C++ for few rows",
    HopperTiles: "CUDA C++",
    type(None): "the library",
}


@dataclass(frozen=True)
class GemmShape:
    """One of a layer's GEMMs.

    Attributes:
        kind: "PROJECT", "GATE_UP" or "ADD", as in `kernels/hopper/gemm.cu`.
        num_columns: Of the result.
        depth: Columns of what is multiplied.
    """

    kind: str
    num_columns: int
    depth: int

    @property
    def weight_bytes(self) -> int:
        """Of the matrix: for each column of the result there are a gate and an up."""
        return 2 * self.depth * self.num_columns * (2 if self.kind == "GATE_UP" else 1)


@dataclass(frozen=True)
class LayerShape:
    """The four GEMMs of a decoder layer."""

    qkv: GemmShape
    o: GemmShape
    gate_up: GemmShape
    down: GemmShape

    @classmethod
    def of(cls, weights: ModelWeights) -> "LayerShape":
        """The shapes of a model's layers, which are all alike."""
        layer, hidden, inner = weights.layers[0], weights.hidden_size, weights.intermediate_size
        return cls(
            qkv=GemmShape("PROJECT", *layer.qkv.shape),
            o=GemmShape("ADD", *layer.o.shape),
            gate_up=GemmShape("GATE_UP", inner, hidden),
            down=GemmShape("ADD", hidden, inner),
        )

    def named(self) -> Iterator[tuple[str, GemmShape]]:
        """(name, shape), in the order of a layer."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True)
class GemmPlan:
    """Who makes a layer's four GEMMs, and how they are cut.

    `qkv` and `gate_up` begin with a norm. Our own kernels read its sums of squares, which `down`
    and `o` leave beside the residual if they are in the same language; the library leaves none.
    """

    qkv: AnyTiles = None
    o: AnyTiles = None
    gate_up: AnyTiles = None
    down: AnyTiles = None

    @property
    def is_possible(self) -> bool:
        """Whether everybody finds what it reads."""
        pairs = ((self.down, self.qkv), (self.o, self.gate_up))
        return all(second is None or type(first) is type(second) for first, second in pairs)

    def describe(self) -> str:
        """Who makes what, for people: "Triton", or "gate_up and o in Triton, ..."."""
        makers: dict[str, list[str]] = {}
        for field in fields(self):
            makers.setdefault(MAKERS[type(getattr(self, field.name))], []).append(field.name)
        if len(makers) == 1:
            return next(iter(makers))
        return ", ".join(f"{' and '.join(names)} by {maker}" for maker, names in makers.items())


LIBRARY = GemmPlan()

BUCKETS = (1, 8, 16, 32, 64, 96, 128, 192, 256)
"""Steps of up to so many rows have a plan of their own; larger ones are for the library."""


@dataclass(frozen=True)
class GemmPlans:
    """The plans of one shape.

    Attributes:
        plans: Number of rows, of `BUCKETS` -> plan.
        why: Where they come from; for people to read.
    """

    plans: dict[int, GemmPlan]
    why: str

    def plan_for(self, num_rows: int) -> GemmPlan:
        """The plan of the smallest bucket that holds `num_rows`."""
        return entry_for(self.plans, num_rows, LIBRARY)

    def describe(self) -> str:
        """Who makes the GEMMs of how many rows; for people to read."""
        texts = [(rows, plan.describe()) for rows, plan in self.plans.items()]
        texts.append((0, LIBRARY.describe()))
        parts, first = [], 1
        for (rows, text), (_, next_text) in pairwise(texts):
            if text != next_text:
                parts.append(f"{first} to {rows} rows: {text}")
                first = rows + 1
        return "; ".join([*parts, f"more: {LIBRARY.describe()}"])


_HEAD_TILES: dict[int, Tiles] = {
    16: Tiles(16, 32, 128, 1, 1, 4, 5),
    32: Tiles(32, 64, 128, 1, 1, 4, 4),
    64: Tiles(64, 128, 64, 1, 1, 4, 4),
}


def head_tiles(num_rows: int) -> Tiles | None:
    """The tiles of the vocabulary GEMM with the sampling in it; None for the library's."""
    return entry_for(_HEAD_TILES, num_rows, None)
