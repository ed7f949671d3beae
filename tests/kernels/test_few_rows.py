"""The GEMM of few rows for Hopper, its source run on a CPU; on such a GPU it is in `tests/gpu`."""

import pytest
import torch

from nanovllm_edu.kernels.hopper.few_rows import PART, FewRowsTiles
from nanovllm_edu.kernels.triton import norm_gate_up, norm_project, project_add
from tests.kernels import hopper_emulator
from tests.kernels.emulated import assert_close, bf16, nothing_like

pytestmark = pytest.mark.skipif(not hopper_emulator.COMPILER, reason="it needs a C++ compiler")

EPS = 1e-6


@pytest.mark.parametrize(
    ("kind", "num_rows", "hidden", "num_columns", "tiles"),
    [
        ("PROJECT", 1, 256, 64, FewRowsTiles(8, 16, 4, 2, 1)),
        ("PROJECT", 13, 416, 64, FewRowsTiles(16, 32, 4, 2, 1)),  # the last turn is not whole
        ("GATE_UP", 8, 1024, 32, FewRowsTiles(8, 16, 8, 4, 1)),
        ("GATE_UP", 30, 512, 64, FewRowsTiles(32, 64, 4, 2, 1)),
    ],
)
def test_after_a_norm_whose_squares_it_makes_itself(
    tmp_path, kind, num_rows, hidden, num_columns, tiles
):
    is_gated = kind == "GATE_UP"
    x, w = bf16(num_rows, hidden, scale=2), bf16((1 + is_gated) * num_columns, hidden, scale=0.1)
    out = nothing_like(bf16(num_rows, num_columns))
    hopper_emulator.emulate_few_rows(kind, x, w, out, None, tiles, tmp_path, None, None)
    reference = norm_gate_up.reference if is_gated else norm_project.reference
    assert_close(out, reference(x.float(), torch.ones(hidden), w.float(), EPS))


@pytest.mark.parametrize(
    ("num_rows", "hidden", "depth", "tiles"),
    [
        (5, 64, 256, FewRowsTiles(8, 16, 8, 2, 1)),
        (16, 128, 320, FewRowsTiles(16, 32, 4, 4, 1)),  # two units for the last turn
        (20, 128, 128, FewRowsTiles(32, 64, 4, 2, 1)),  # fewer units than there is room for
    ],
)
def test_added_to_the_residual_which_is_left_ready_for_the_next_norm(
    tmp_path, num_rows, hidden, depth, tiles
):
    x, w = bf16(num_rows, depth), bf16(hidden, depth, scale=0.1)
    residual, norm_weight = bf16(num_rows, hidden), bf16(hidden)
    expected = project_add.reference(x.float(), w.float(), residual.float())
    weighted = nothing_like(residual)
    squares = torch.full((num_rows, hidden // PART), float("nan"))
    hopper_emulator.emulate_few_rows(
        "ADD", x, w, residual, squares, tiles, tmp_path, weighted, norm_weight
    )
    assert_close(residual, expected)
    assert_close(weighted, expected * norm_weight)
    parts = residual.float().square().unflatten(1, (-1, PART)).sum(2)
    torch.testing.assert_close(squares, parts, rtol=1e-4, atol=1e-3)


def test_a_part_of_a_sum_is_left_as_it_is(tmp_path):
    x, w = bf16(3, 192), bf16(32, 192, scale=0.1)
    out, tiles = nothing_like(bf16(3, 32)), FewRowsTiles(8, 16, 4, 2, 1)
    hopper_emulator.emulate_few_rows("PLAIN", x, w, out, None, tiles, tmp_path, None, None)
    assert_close(out, x.float() @ w.float().T)


def test_a_shape_that_cannot_be_cut():
    tiles = FewRowsTiles(8, 32, 4, 4, 2)
    assert tiles.fits("ADD", 256, 128) and not tiles.fits("ADD", 240, 128)
    assert tiles.fits("GATE_UP", 240, 128)
    assert not tiles.fits("ADD", 256, 96), "the splits of the depth are whole units"
