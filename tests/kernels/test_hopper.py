"""What can be said of the Hopper kernel without a Hopper GPU; the rest is in `tests/gpu`."""

import pytest
import torch

from nanovllm_edu.kernels import hopper, layer_products
from nanovllm_edu.kernels.hopper import HopperTiles
from nanovllm_edu.kernels.layer_products import Operands, bind, why_not_hopper
from nanovllm_edu.kernels.tile_plan import HOPPER_PLANS, HopperPlan, TilePlan, plan_for
from nanovllm_edu.kernels.weights import ModelWeights
from tests.kernels.test_fused_decode import small_model

SHARED_BYTES = 227 * 1024
"""What a block may have on a Hopper GPU."""


def all_tiles():
    for plan in HOPPER_PLANS.values():
        yield from (("PROJECT", plan.qkv), ("ADD", plan.o), ("GATE_UP", plan.gate_up))
        yield "ADD", plan.down


@pytest.mark.parametrize(("kind", "tiles"), list(all_tiles()))
def test_every_plan_keeps_the_rules_of_the_source(kind, tiles):
    parts = 2 if kind == "GATE_UP" else 1
    assert tiles.m in (64, 128)
    assert tiles.m // tiles.cluster_n % 8 == 0
    assert tiles.n // parts // tiles.cluster_m % 8 == 0
    assert tiles.splits * tiles.cluster_n * tiles.cluster_m <= 8
    assert tiles.m % tiles.splits == 0
    static = 16 * tiles.stages + 4 * tiles.m // tiles.splits + 1024  # barriers, scales, alignment
    assert tiles.shared_bytes + static <= SHARED_BYTES
    assert tiles.m * (tiles.n + 8) * 4 <= tiles.shared_bytes, "sums replace the tiles"


def test_a_shape_that_cannot_be_cut():
    tiles = HopperTiles(64, 96, 1, 2, 1, 11)
    assert tiles.fits("GATE_UP", 3072, 1024)
    assert not tiles.fits("GATE_UP", 512, 1024)
    assert not tiles.fits("PROJECT", 192, 1000)
    assert not HopperTiles(64, 64, 4, 2, 1, 8).fits("ADD", 256, 128)


def test_the_instruction_names_each_register_once():
    text = hopper.wgmma(32)
    assert "m64n32k16" in text
    for i in range(16):
        assert text.count(f'"+f"(acc[{i}])') == 1
    assert "%16, %17, p" in text
    assert text.count("\n") == 1  # a macro is one line


def test_why_it_is_not_used_here():
    assert "9.0" in hopper.why_unavailable(torch.device("cpu"), torch.bfloat16)
    assert "9.0" in why_not_hopper(ModelWeights.collect(small_model("cpu")))


def test_it_is_for_5_to_128_rows_of_a_gpu_that_has_it():
    assert all(isinstance(plan_for(n, has_hopper=True), HopperPlan) for n in (5, 16, 128))
    assert all(isinstance(plan_for(n, has_hopper=True), TilePlan) for n in (1, 4, 129))
    assert isinstance(plan_for(64), TilePlan)


def test_a_layers_four_products_are_bound_in_order_and_only_the_last_norm_is_made(monkeypatch):
    made = []

    class Recorded:
        def __init__(self, kind, x, w, out, squares, tiles, *, norm_weight=None, **_):
            made.append((kind, w, tiles, norm_weight is not None))

        def launch(self, is_overlapped):
            made.append(is_overlapped)

    monkeypatch.setattr(layer_products, "HopperProduct", Recorded)
    weights, plan = ModelWeights.collect(small_model("cpu")), HOPPER_PLANS[8]
    operands = Operands.allocate(weights, 8, weights.hidden_size // 16)
    products = bind(weights, operands, plan, is_overlapped=True)
    assert len(products) == len(weights.layers)
    assert [kind for kind, *_ in made] == ["PROJECT", "ADD", "GATE_UP", "ADD"] * len(products)
    assert [has_norm for *_, has_norm in made] == [False] * (len(made) - 1) + [True]
    assert made[3][1] is weights.layers[0].down
    assert made[3][2] is plan.down
    products[0].down()
    assert made[-1] is True
