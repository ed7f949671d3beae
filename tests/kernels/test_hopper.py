"""What can be said of the Hopper kernel without a Hopper GPU; the rest is in `tests/gpu`."""

import ctypes
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from nanovllm_edu.fused_decode import layer_attention, layer_gemms
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_plan import GemmPlan
from nanovllm_edu.fused_decode.layer_gemms import Operands, bind
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.hopper import compiler, gemm
from nanovllm_edu.kernels.hopper.decode import (
    BLOCK_SIZE_MULTIPLE,
    MOST_HEADS,
    hopper_decode_tiles,
    num_shares,
    tokens_of_a_step,
)
from nanovllm_edu.kernels.hopper.gemm import HopperTiles
from tests.kernels.test_fused_decode import small_model


def test_a_shape_that_cannot_be_cut():
    tiles = HopperTiles(64, 96, 1, 2, 1, 11)
    assert tiles.fits("GATE_UP", 3072, 1024)
    assert not tiles.fits("GATE_UP", 512, 1024)
    assert not tiles.fits("PROJECT", 192, 1000)
    assert not HopperTiles(64, 64, 4, 2, 1, 8).fits("ADD", 256, 128)
    assert not HopperTiles(64, 96, 1, 1, 1, 8).fits("ADD", 192, 128), "squares of 64 columns"


def test_the_instruction_names_each_register_once():
    text = gemm.wgmma(32)
    assert "m64n32k16" in text
    for i in range(16):
        assert text.count(f'"+f"(acc[{i}])') == 1
    assert "%16, %17, p" in text
    assert text.count("\n") == 1  # a macro is one line


def test_why_it_is_not_used_here():
    assert "9.0" in compiler.why_unavailable(torch.device("cpu"), torch.bfloat16)
    weights = ModelWeights.collect(small_model("cpu"))
    assert not FusedDecoder(weights, SimpleNamespace(block_size=256), None).has_hopper


@pytest.mark.parametrize("head_dim", [32, 64, 128])
@pytest.mark.parametrize("group", [1, 2, 3, 4])
def test_a_warps_step_of_attention_lies_in_one_block(group, head_dim):
    tokens = tokens_of_a_step(group, head_dim)
    assert BLOCK_SIZE_MULTIPLE % (tokens * 256 // head_dim) == 0


@pytest.mark.parametrize("num_pairs", [1, 8, 64, 100, 1024, 2048, 10_000])
def test_attention_is_cut_as_its_source_allows(num_pairs):
    tiles = hopper_decode_tiles(num_pairs)
    assert tiles.splits <= 8  # blocks of a cluster
    assert 32 * tiles.warps * tiles.blocks <= 512  # 128 registers for each thread


def test_a_layers_four_products_are_bound_in_order_and_only_the_last_norm_is_made(monkeypatch):
    made = []

    class Recorded:
        def __init__(self, kind, x, w, out, squares, tiles, *, norm_weight=None, **_):
            made.append((kind, w, tiles, norm_weight is not None))

        def launch(self, is_overlapped):
            made.append(is_overlapped)

    monkeypatch.setattr(layer_gemms, "HopperGemm", Recorded)
    weights = ModelWeights.collect(small_model("cpu"))
    tiles = HopperTiles(64, 64, 1, 1, 1, 4)
    plan = GemmPlan(qkv=tiles, o=tiles, gate_up=tiles, down=replace(tiles, stages=5))
    operands = Operands.allocate(weights, 8, plan)
    products = bind(weights, operands, plan, is_overlapped=True)
    assert len(products) == len(weights.layers)
    assert [kind for kind, *_ in made] == ["PROJECT", "ADD", "GATE_UP", "ADD"] * len(products)
    assert [has_norm for *_, has_norm in made] == [False] * (len(made) - 1) + [True]
    assert made[3][1] is weights.layers[0].down
    assert made[3][2] is plan.down
    products[0].down()
    assert made[-1] is True


def test_arguments_are_passed_by_their_places():
    tensor, number = torch.arange(3), ctypes.c_int(7)
    tensor_map = SimpleNamespace(getPtr=lambda: 4096)
    arguments = compiler.Arguments((tensor, None, number, tensor_map))
    places = (ctypes.c_void_p * 4).from_address(arguments.address)
    assert ctypes.c_void_p.from_address(places[0]).value == tensor.data_ptr()
    assert ctypes.c_void_p.from_address(places[1]).value is None
    assert ctypes.c_int.from_address(places[2]).value == 7
    assert places[3] == 4096


@pytest.mark.parametrize(
    ("num_heads", "block_size", "reason"),
    [(16, 256, None), (16, 16, None), (16, 24, "block_size=24"), (40, 256, None)],
)
def test_which_attention_fits_the_kernel(monkeypatch, num_heads, block_size, reason):
    monkeypatch.setattr(compiler, "why_unavailable", lambda *_: None)
    weights = SimpleNamespace(num_heads=num_heads, num_kv_heads=8, embedding=torch.zeros(1))
    why = layer_attention.why_not_hopper(weights, SimpleNamespace(block_size=block_size))
    assert why is None if reason is None else reason in why


@pytest.mark.parametrize("group", range(1, 17))
def test_query_heads_are_shared_out_evenly_and_none_is_left_out(group):
    shares = num_shares(group)
    heads = -(-group // shares)
    assert heads <= MOST_HEADS
    assert (shares - 1) * heads < group <= shares * heads, "a share without a head"
    weights = SimpleNamespace(num_heads=2 * group, num_kv_heads=2)
    assert layer_attention.most_rows(weights) == (None if group <= MOST_HEADS else 128)


def test_a_decoder_says_what_it_is_made_of(monkeypatch):
    weights = ModelWeights.collect(small_model("cpu"))
    decoder = FusedDecoder(weights, SimpleNamespace(block_size=256), None)
    value, why = decoder.describe()
    assert value.startswith("attention in Triton; GEMMs of 1 to ")
    assert why.startswith("attention not in CUDA C++: it is for GPUs of compute capability 9.0; ")
    assert why.endswith("GEMMs predicted from the shape")
    monkeypatch.setattr(layer_attention, "why_not_hopper", lambda *_: None)
    assert decoder.describe()[0].startswith("attention in CUDA C++; GEMMs of")
