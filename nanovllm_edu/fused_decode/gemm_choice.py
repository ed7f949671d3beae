"""Which GEMMs a model's decode steps are made of: chosen by trying, and kept.

Nobody can say beforehand which of the candidates is fastest for a shape, so each is tried where it
will work: among the other kernels of a few layers, in a CUDA graph. It takes seconds, at the first
start with a shape on a GPU; the choice goes to a file in the cache folder. Whoever finds that file
makes the same choice, and so the same bits.

    buckets of rows   256 ... 1, the largest first: its choice is a candidate of the next, so that
                      fewer rows are never slower than more
    whole layers      all four by one maker, because one that begins early wants neighbours that
                      let it
    pairs of GEMMs    from the best of those on: (o, gate_up), (down, qkv); the second reads the
                      squares that the first leaves

Read next: `layer_gemms.py`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.fused_decode.gemm_candidates import candidates, predicted_seconds
from nanovllm_edu.fused_decode.gemm_plan import BUCKETS, LIBRARY, AnyTiles, GemmPlan, LayerShape
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import HopperTiles
from nanovllm_edu.kernels.triton.gemm import Tiles

Seconds = Callable[[int, GemmPlan], float]

PAIRS = (("o", "gate_up"), ("down", "qkv"))
MARGIN = 0.995
"""What is no faster than this is noise: the earlier candidate stays."""


def choose(layer: LayerShape, has_hopper: bool, seconds: Seconds) -> dict[int, GemmPlan]:
    """The plan of each bucket.

    Args:
        layer: The shapes.
        has_hopper: Whether the GEMMs of `kernels/hopper/` may be used.
        seconds: (number of rows, plan) -> what a step's layers take.
    """
    plan, plans = LIBRARY, {}
    for num_rows in reversed(BUCKETS):
        options = options_for(layer, num_rows, has_hopper)
        plan = _fastest([plan, *whole_layers(options)], num_rows, seconds)
        for first, second in PAIRS:
            plan = _best_pair(plan, first, second, options, num_rows, seconds)
        plans[num_rows] = plan
    return dict(sorted(plans.items()))


def options_for(
    layer: LayerShape, num_rows: int, has_hopper: bool
) -> dict[str, tuple[AnyTiles, ...]]:
    """The candidates of each GEMM, by its name."""
    return {name: candidates(shape, num_rows, has_hopper) for name, shape in layer.named()}


def made_by(maker: type, options: dict[str, tuple[AnyTiles, ...]]) -> dict[str, list[AnyTiles]]:
    """Of each GEMM's candidates, those that one maker makes, by the type of its tiles."""
    return {
        name: [tiles for tiles in found if isinstance(tiles, maker)]
        for name, found in options.items()
    }


def whole_layers(options: dict[str, tuple[AnyTiles, ...]]) -> list[GemmPlan]:
    """Plans in which one maker makes all four: its first choice of each, its second of each ..."""
    plans = []
    for maker in (Tiles, FewRowsTiles, HopperTiles):
        made = made_by(maker, options)
        for place in range(min(3, *map(len, made.values()))):
            plans.append(GemmPlan(**{name: found[place] for name, found in made.items()}))
    return [*plans, LIBRARY]


def _best_pair(
    plan: GemmPlan,
    first: str,
    second: str,
    options: dict[str, tuple[AnyTiles, ...]],
    num_rows: int,
    seconds: Seconds,
) -> GemmPlan:
    """The plan with the best of two GEMMs: the second with the first as it is, then the first."""
    best_of = {type(tiles): tiles for tiles in reversed(options[first])}  # of each maker
    best_of[type(getattr(plan, first))] = getattr(plan, first)
    seconds_of_pair = [
        replace(plan, **{first: tiles, second: option})
        for tiles in best_of.values()
        for option in options[second]
    ]
    best = _fastest([plan, *seconds_of_pair], num_rows, seconds)
    others = [replace(best, **{first: tiles}) for tiles in options[first]]
    return _fastest([best, *others], num_rows, seconds)


def _fastest(plans: list[GemmPlan], num_rows: int, seconds: Seconds) -> GemmPlan:
    """The first plan, unless another is possible and clearly faster."""
    best, least = plans[0], seconds(num_rows, plans[0])
    for plan in dict.fromkeys(plans[1:]):
        if plan.is_possible and (time := seconds(num_rows, plan)) < MARGIN * least:
            best, least = plan, time
    return best


def predicted(layer: LayerShape, has_hopper: bool) -> dict[int, GemmPlan]:
    """The choice without a measurement: by the model of `gemm_candidates.py`."""

    def seconds(num_rows: int, plan: GemmPlan) -> float:
        return sum(
            predicted_seconds(getattr(plan, name), shape, num_rows) for name, shape in layer.named()
        )

    return choose(layer, has_hopper, seconds)


# ------------------------------------------------------------------------------ in a file


class UnreadablePlansError(NanoVLLMError):
    """A file does not hold plans that this version could have written."""


_KINDS = {"Triton": Tiles, "few rows": FewRowsTiles, "CUDA C++": HopperTiles}


def to_json(plans: dict[int, GemmPlan]) -> str:
    """Plans as text, a line for each number of rows."""

    def tiles_of(tiles: AnyTiles) -> list[Any] | None:
        names = {kind: name for name, kind in _KINDS.items()}
        return None if tiles is None else [names[type(tiles)], *vars(tiles).values()]

    lines = [
        f"{json.dumps(str(rows))}: "
        + json.dumps({name: tiles_of(tiles) for name, tiles in vars(plan).items()})
        for rows, plan in plans.items()
    ]
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def from_json(text: str, layer: LayerShape, has_hopper: bool) -> dict[int, GemmPlan]:
    """The plans that `to_json` wrote.

    Raises:
        UnreadablePlansError: The text is something else, or its plans are for other shapes.
    """
    try:
        plans = {int(rows): _read_plan(plan) for rows, plan in json.loads(text).items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadablePlansError(f"not a file of plans: {error}") from error
    if tuple(plans) != BUCKETS:
        raise UnreadablePlansError(f"plans for {tuple(plans)} rows, and not for {BUCKETS}")
    for rows, plan in plans.items():
        for name, shape in layer.named():
            known = [t for r in BUCKETS if r >= rows for t in candidates(shape, r, has_hopper)]
            if getattr(plan, name) not in known or not plan.is_possible:
                raise UnreadablePlansError(f"{name} of {rows} rows cannot be cut so")
    return plans


def _read_plan(plan: dict[str, Any]) -> GemmPlan:
    return GemmPlan(
        **{
            name: None if tiles is None else _KINDS[tiles[0]](*map(int, tiles[1:]))
            for name, tiles in plan.items()
        }
    )
