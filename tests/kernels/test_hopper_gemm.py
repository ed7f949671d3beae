"""The GEMM for Hopper, its source run on a CPU; on a Hopper GPU it is in `tests/gpu`."""

import pytest
import torch

from nanovllm_edu.kernels.hopper.gemm import PART, HopperTiles
from nanovllm_edu.kernels.triton import norm_gate_up, norm_project, project_add
from tests.kernels import hopper_emulator
from tests.kernels.emulated import assert_close, bf16, nothing_like

pytestmark = pytest.mark.skipif(not hopper_emulator.COMPILER, reason="it needs a C++ compiler")

EPS = 1e-6


def sums_of_squares(stream):
    return stream.float().square().unflatten(1, (-1, PART)).sum(2).contiguous()


@pytest.mark.parametrize(
    ("kind", "num_rows", "hidden", "num_columns", "tiles"),
    [
        ("PROJECT", 5, 896, 128, HopperTiles(64, 64, 1, 1, 1, 4)),  # 14 sums of squares
        ("PROJECT", 70, 384, 192, HopperTiles(64, 96, 1, 1, 1, 3)),
        ("GATE_UP", 100, 256, 128, HopperTiles(128, 128, 1, 1, 1, 3)),
    ],
)
def test_after_a_norm(tmp_path, kind, num_rows, hidden, num_columns, tiles):
    is_gated = kind == "GATE_UP"
    x, w = bf16(num_rows, hidden, scale=2), bf16((1 + is_gated) * num_columns, hidden, scale=0.1)
    out, unused = nothing_like(bf16(num_rows, num_columns)), torch.zeros(1)
    hopper_emulator.emulate_gemm(
        kind, x, w, out, sums_of_squares(x), tiles, tmp_path, unused, unused
    )
    reference = norm_gate_up.reference if is_gated else norm_project.reference
    assert_close(out, reference(x.float(), torch.ones(hidden), w.float(), EPS))


@pytest.mark.parametrize(
    ("num_rows", "hidden", "depth", "tiles"),
    [
        (70, 896, 128, HopperTiles(64, 64, 1, 1, 1, 2)),
        (100, 384, 192, HopperTiles(128, 128, 1, 1, 1, 3)),
    ],
)
def test_added_to_the_residual_which_is_left_ready_for_the_next_norm(
    tmp_path, num_rows, hidden, depth, tiles
):
    x, w = bf16(num_rows, depth), bf16(hidden, depth, scale=0.1)
    residual, norm_weight = bf16(num_rows, hidden), bf16(hidden)
    expected = project_add.reference(x.float(), w.float(), residual.float())
    weighted, squares = nothing_like(residual), nothing_like(sums_of_squares(residual))
    hopper_emulator.emulate_gemm(
        "ADD", x, w, residual, squares, tiles, tmp_path, weighted, norm_weight
    )
    assert_close(residual, expected)
    assert_close(weighted, expected * norm_weight)
    torch.testing.assert_close(squares, sums_of_squares(residual), rtol=1e-4, atol=1e-3)
