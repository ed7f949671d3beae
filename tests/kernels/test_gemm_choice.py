"""Which GEMMs are chosen: candidates keep the rules, the fastest is taken, a file says the same."""

import itertools
import json
import random
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from nanovllm_edu.fused_decode import gemm_trial
from nanovllm_edu.fused_decode.decoder import COLUMNS_MULTIPLE, FusedDecoder
from nanovllm_edu.fused_decode.gemm_candidates import (
    FEW_ROWS_CUTS,
    NUM_MEASURED,
    candidates,
    few_rows_tiles,
    hopper_tiles,
    predicted_seconds,
    triton_tiles,
)
from nanovllm_edu.fused_decode.gemm_choice import (
    MARGIN,
    PAIRS,
    UnreadablePlansError,
    choose,
    from_json,
    predicted,
    to_json,
)
from nanovllm_edu.fused_decode.gemm_plan import (
    BUCKETS,
    LIBRARY,
    GemmPlan,
    GemmPlans,
    GemmShape,
    LayerShape,
)
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import HopperTiles, constants_of
from nanovllm_edu.kernels.triton.gemm import Tiles
from tests.attention.batches import cache_of
from tests.kernels.hopper_emulator import COMPILER, SOURCES
from tests.kernels.test_fused_decode import small_model

SHARED_BYTES = 227 * 1024
"""What a block may have on a Hopper GPU."""


def layer(hidden, heads, kv_heads, head_dim, inner):
    return LayerShape(
        qkv=GemmShape("PROJECT", (heads + 2 * kv_heads) * head_dim, hidden),
        o=GemmShape("ADD", hidden, heads * head_dim),
        gate_up=GemmShape("GATE_UP", inner, hidden),
        down=GemmShape("ADD", hidden, inner),
    )


LAYERS = {
    "0.6B": layer(1024, 16, 8, 128, 3072),
    "1B": layer(2048, 32, 8, 64, 8192),
    "4B": layer(2560, 32, 8, 128, 9728),
    "8B": layer(4096, 32, 8, 128, 12288),
    "small": layer(256, 4, 2, 64, 512),
    "odd": layer(896, 14, 2, 64, 4864),
}
GEMMS = [
    pytest.param(shape, id=f"{name} {role}")
    for name, layer in LAYERS.items()
    for role, shape in layer.named()
]


@pytest.mark.parametrize("num_rows", BUCKETS)
def test_every_cut_on_hopper_keeps_the_rules_of_the_source(num_rows):
    for shape in (shape for layer in LAYERS.values() for _, shape in layer.named()):
        parts = 2 if shape.kind == "GATE_UP" else 1
        for tiles in hopper_tiles(shape, num_rows):
            assert tiles.fits(shape.kind, shape.num_columns, shape.depth)
            assert tiles.m in (64, 128)
            assert tiles.n % 8 == 0 and tiles.n <= 256  # of the instruction
            assert tiles.m // tiles.cluster_n % 8 == 0
            assert tiles.n // parts // tiles.cluster_m % 8 == 0
            assert tiles.splits * tiles.cluster_n * tiles.cluster_m <= 8
            static = 16 * tiles.stages + 4 * tiles.m // tiles.splits + 1024  # barriers, scales
            assert tiles.shared_bytes + static <= SHARED_BYTES
            assert tiles.m * (tiles.n + 8) * 4 <= tiles.shared_bytes, "sums replace the tiles"


@pytest.mark.parametrize("num_rows", [1, 8, 16])
def test_every_cut_for_few_rows_keeps_the_rules_of_its_source(num_rows):
    layers = *LAYERS.values(), *odd_layers()
    for shape in (shape for layer in layers for _, shape in layer.named()):
        found = few_rows_tiles(shape, num_rows)
        assert found and all(isinstance(tiles, FewRowsTiles) for tiles in found)
        for tiles in found:
            assert tiles.fits(shape.kind, shape.num_columns, shape.depth)
            assert tiles.m >= num_rows and tiles.m % tiles.splits == 0
            assert tiles.n % 16 == 0 and 32 * tiles.warps <= 1024
            assert tiles.shared_bytes <= 48 * 1024, "more must be asked for"
            assert tiles.registers * 32 * tiles.warps * tiles.blocks <= 65536
            assert tiles.registers <= 255
    assert few_rows_tiles(LAYERS["8B"].qkv, 17) == []


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
def test_the_source_asserts_nothing_that_a_candidate_breaks(tmp_path):
    """Else a first start ends with a kernel that does not compile, as Llama-3.2-1B's once did."""
    source = (SOURCES / "gemm.cu").read_text()
    rules = source[source.index("constexpr int BK") : source.rindex("static_assert")]
    rules += source[len(source[: source.rindex("static_assert")]) :].splitlines()[0]
    constants = {
        tuple(constants_of(shape.kind, shape.depth, shape.num_columns, tiles).items())
        for layer in (*LAYERS.values(), *odd_layers())
        for _, shape in layer.named()
        for num_rows in BUCKETS
        for tiles in candidates(shape, num_rows, True)
        if isinstance(tiles, HopperTiles)
    }
    names = [name for name, _ in next(iter(constants))]
    parameters = ", ".join(f"int {name}" for name in names)
    members = rules.replace("constexpr int", "static constexpr int")
    cuts = [", ".join(str(value) for _, value in one) for one in constants]
    text = "enum { PROJECT, GATE_UP, ADD, PLAIN };\n"
    text += f"template <{parameters}> struct Cut {{\n{members}\n}};\n"
    text += "".join(f"template struct Cut<{cut}>;\n" for cut in cuts)
    file = tmp_path / "cuts.cpp"
    file.write_text(text)
    command = [COMPILER, "-std=c++17", "-fsyntax-only", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    assert len(cuts) > 200


def odd_layers(count=30):
    """Whatever the fused kernels take: widths that are multiples of `COLUMNS_MULTIPLE`."""
    rng = random.Random(7)
    for _ in range(count):
        kv_heads, head_dim = rng.choice((1, 2, 4, 8)), rng.choice((64, 128))
        heads = kv_heads * rng.choice((2, 3, 4, 6, 8))
        if heads * head_dim % COLUMNS_MULTIPLE == 0:
            hidden, inner = (COLUMNS_MULTIPLE * rng.randint(3, 80) for _ in range(2))
            yield layer(hidden, heads, kv_heads, head_dim, inner)


@pytest.mark.parametrize("shape", GEMMS)
def test_every_cut_in_triton_leaves_no_ragged_edge(shape):
    for num_rows in BUCKETS:
        found = triton_tiles(shape, num_rows)
        assert bool(found) == (num_rows <= 64)
        for tiles in found:
            width = tiles.n // 2 if shape.kind == "GATE_UP" else tiles.n
            assert shape.num_columns % width == 0
            assert tiles.m == 1 or tiles.m >= min(num_rows, 64)
            assert shape.kind == "ADD" or tiles.splits == 1


@pytest.mark.parametrize("has_hopper", [False, True])
@pytest.mark.parametrize("shape", GEMMS)
def test_few_candidates_the_best_first_and_the_library_last(shape, has_hopper):
    for num_rows in BUCKETS:
        *ours, last = candidates(shape, num_rows, has_hopper)
        assert last is None
        assert len(ours) <= NUM_MEASURED + len(FEW_ROWS_CUTS)
        assert not has_hopper or not any(isinstance(tiles, Tiles) for tiles in ours)
        assert has_hopper or not any(isinstance(tiles, HopperTiles) for tiles in ours)
        times = [predicted_seconds(tiles, shape, num_rows) for tiles in ours]
        assert times == sorted(times)
        assert all(0 < seconds < 1e-3 for seconds in times)


def clock(times):
    """Seconds of a plan as the sum of its GEMMs'; `times` knows those of a role's tiles."""

    def seconds(num_rows, plan):
        assert plan.is_possible
        asked.append((num_rows, plan))
        return sum(times(num_rows, name, tiles) for name, tiles in vars(plan).items())

    asked = []
    return seconds, asked


@pytest.mark.parametrize("name", LAYERS)
def test_no_other_first_of_a_pair_is_faster_nor_the_library(name):
    generator = torch.Generator().manual_seed(3)
    known = {}

    def time(num_rows, role, tiles):
        key = num_rows, role, tiles
        if key not in known:
            known[key] = 1 + float(torch.rand(1, generator=generator))
        return known[key]

    shapes = LAYERS[name]
    seconds, _ = clock(time)
    plans = choose(shapes, True, seconds)
    for num_rows, plan in plans.items():
        for first, second in PAIRS:
            assert plan.is_possible
            for tiles in candidates(getattr(shapes, first), num_rows, True):
                changed = replace(plan, **{first: tiles})
                if changed.is_possible:  # else `second` would not find what it reads
                    assert MARGIN * seconds(num_rows, plan) <= seconds(num_rows, changed)
            without = replace(plan, **{first: None, second: None})
            assert MARGIN * seconds(num_rows, plan) <= seconds(num_rows, without)


def test_fewer_rows_are_never_slower_than_more():
    def time(num_rows, role, tiles):  # candidates of few rows are bad, those of many are good
        return 1.0 if isinstance(tiles, HopperTiles) and tiles.m == 128 else 2.0

    seconds, _ = clock(time)
    plans = choose(LAYERS["8B"], True, seconds)
    times = [seconds(num_rows, plan) for num_rows, plan in plans.items()]
    assert times == sorted(times)
    assert plans[1].down.m == 128


def test_a_pair_is_made_in_one_language_or_its_second_by_the_library():
    triton, hopper = Tiles(16, 32, 128, 1, 1, 4, 4), HopperTiles(64, 64, 1, 1, 1, 4)
    firsts = seconds = (None, triton, hopper)
    for first, second in itertools.product(firsts, seconds):
        is_fine = second is None or (first is not None and type(first) is type(second))
        assert GemmPlan(o=first, gate_up=second).is_possible is is_fine
        assert GemmPlan(down=first, qkv=second).is_possible is is_fine


def test_the_choice_tries_few_plans():
    seconds, asked = clock(lambda *_: 1.0)
    plans = choose(LAYERS["8B"], True, seconds)
    assert set(plans.values()) == {LIBRARY}  # no faster is not faster
    assert len(set(asked)) < 50 * len(BUCKETS)


@pytest.mark.parametrize("has_hopper", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_plans_come_back_from_their_file(name, has_hopper):
    shapes = LAYERS[name]
    plans = predicted(shapes, has_hopper)
    assert tuple(plans) == BUCKETS
    assert plans[1] != LIBRARY == GemmPlans(plans, "").plan_for(257)
    assert from_json(to_json(plans), shapes, has_hopper) == plans


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plans: "",
        lambda plans: "[]",
        lambda plans: json.dumps({"1": plans["1"]}),
        lambda plans: json.dumps({**plans, "1": {"qkv": ["C", 1]}}),
        lambda plans: json.dumps({**plans, "1": {**plans["1"], "qkv": ["Triton", 3, 5]}}),
        lambda plans: json.dumps({**plans, "1": {**plans["1"], "o": None}}),
        lambda plans: json.dumps({**plans, "64": {**plans["64"], "o": ["Triton"] + [64] * 7}}),
    ],
)
def test_a_spoilt_file_is_refused(spoil):
    shapes = LAYERS["0.6B"]
    plans = json.loads(to_json(predicted(shapes, has_hopper=False)))
    with pytest.raises(UnreadablePlansError):
        from_json(spoil(plans), shapes, has_hopper=False)


def test_what_people_read():
    all_triton = predicted(LAYERS["8B"], has_hopper=False)[16]
    plans = GemmPlans({1: all_triton, 4: all_triton, 16: LIBRARY}, "predicted")
    assert plans.describe() == "1 to 4 rows: Triton; more: the library"
    tiles = Tiles(16, 32, 128, 1, 1, 4, 4)
    mixed = GemmPlan(o=tiles, gate_up=tiles)
    assert mixed.describe() == "qkv and down by the library, o and gate_up by Triton"


class TestKeeping:
    @pytest.fixture
    def decoder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
        self.tried = []

        def try_out(decoder, meanwhile):
            self.tried.append(decoder)
            return predicted(decoder.layer, decoder.has_hopper)

        monkeypatch.setattr(gemm_trial, "_try_out", try_out)
        weights = SimpleNamespace(embedding=torch.zeros(1))
        return SimpleNamespace(layer=LAYERS["0.6B"], has_hopper=False, weights=weights)

    def test_a_shape_is_tried_out_once(self, decoder, tmp_path):
        first, second = gemm_trial.find_plans(decoder), gemm_trial.find_plans(decoder)
        assert first.plans == second.plans and len(self.tried) == 1
        (file,) = (tmp_path / "nanovllm-edu").iterdir()
        assert "kept" in first.why and "before" in second.why and str(file) in second.why
        other = SimpleNamespace(**{**vars(decoder), "layer": LAYERS["8B"]})
        gemm_trial.find_plans(other)
        assert len(self.tried) == 2

    def test_a_spoilt_file_is_made_anew(self, decoder, tmp_path):
        gemm_trial.find_plans(decoder)
        (file,) = (tmp_path / "nanovllm-edu").iterdir()
        good = file.read_text()
        file.write_text("{")
        gemm_trial.find_plans(decoder)
        assert len(self.tried) == 2 and file.read_text() == good

    def test_without_a_folder_nothing_is_kept_and_it_is_said(self, decoder, tmp_path):
        folder = tmp_path / "nanovllm-edu"
        folder.mkdir()
        folder.chmod(0o777)
        assert "not kept: others can write" in gemm_trial.find_plans(decoder).why
        assert list(folder.iterdir()) == []


def test_padding_rows_are_a_step_and_touch_only_the_scratch_block(device):
    weights = ModelWeights.collect(small_model(device))
    cache = cache_of(torch.zeros(2, 2, 4, 8, 2, 64, device=device))
    decoder = gemm_trial.first_layers(FusedDecoder(weights, cache, None, is_overlapped=False))
    assert len(decoder.weights.layers) == 2  # all: there are no more
    decoder.step(5)
    assert bool(cache.data[:, :, cache.scratch_block].any())
    assert not bool(cache.data[:, :, : cache.scratch_block].any())
