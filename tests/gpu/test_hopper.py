"""On a Hopper GPU: the products in CUDA C++ equal their references, with and without overlap."""

import pytest
import torch

from nanovllm_edu.fused_decode.gemm_candidates import best_hopper_tiles
from nanovllm_edu.fused_decode.gemm_plan import GemmShape
from nanovllm_edu.kernels.hopper.gemm import PART, HopperGemm
from nanovllm_edu.kernels.triton import norm_gate_up, norm_project, project_add
from tests.gpu.models import randn, relative_error

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("hopper_gpu")]

EPS = 1e-6
ROWS = (5, 64, 65, 100, 128, 200, 256)
HIDDEN = (1024, 896, 2560)
"""The last two have a number of sums of squares that is no multiple of four, and of sixteen."""


def sums_of_squares(stream):
    return stream.float().square().unflatten(1, (-1, PART)).sum(2)


def assert_close(actual, expected):
    assert relative_error(actual, expected) < 5e-3


def cuts(kind, num_columns, depth, num_rows):
    """What could be chosen for a GEMM."""
    found = best_hopper_tiles(GemmShape(kind, num_columns, depth), num_rows)
    assert found
    return found


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_project(num_rows, hidden):
    stream, w = randn(num_rows, hidden, scale=3), randn(4096, hidden, scale=0.03)
    ones = torch.ones(hidden, device="cuda")
    expected = norm_project.reference(stream.float(), ones, w.float(), EPS)
    for tiles in cuts("PROJECT", 4096, hidden, num_rows):
        out = randn(num_rows, 4096) * float("nan")
        HopperGemm("PROJECT", stream, w, out, sums_of_squares(stream), tiles, eps=EPS).launch()
        assert_close(out, expected)


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gate_up(num_rows, hidden):
    stream, w = randn(num_rows, hidden, scale=3), randn(2 * 3072, hidden, scale=0.03)
    ones = torch.ones(hidden, device="cuda")
    expected = norm_gate_up.reference(stream.float(), ones, w.float(), EPS)
    for tiles in cuts("GATE_UP", 3072, hidden, num_rows):
        out = randn(num_rows, 3072) * float("nan")
        HopperGemm("GATE_UP", stream, w, out, sums_of_squares(stream), tiles, eps=EPS).launch()
        assert_close(out, expected)


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize(("hidden", "depth"), [(1024, 2048), (896, 1024), (2560, 9728)])
def test_add(num_rows, hidden, depth):
    x, w = randn(num_rows, depth), randn(hidden, depth, scale=0.03)
    before, norm = randn(num_rows, hidden), randn(hidden)
    expected = project_add.reference(x.float(), w.float(), before.float())
    for tiles in cuts("ADD", hidden, depth, num_rows):
        stream, weighted = before.clone(), torch.full_like(before, float("nan"))
        squares = torch.full_like(sums_of_squares(stream), float("nan"))
        gemm = HopperGemm("ADD", x, w, stream, squares, tiles, weighted=weighted, norm_weight=norm)
        gemm.launch()
        assert_close(stream, expected)
        assert_close(weighted, expected * norm)
        torch.testing.assert_close(squares, sums_of_squares(stream), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("num_rows", [8, 128])
def test_overlap_and_repetition_change_no_bit(num_rows):
    project, add = cuts("PROJECT", 4096, 1024, num_rows)[0], cuts("ADD", 1024, 2048, num_rows)[0]
    w = [randn(4096, 1024, scale=0.03), randn(1024, 2048, scale=0.02)]
    before, qkv = randn(num_rows, 1024), randn(num_rows, 4096)

    def run(is_overlapped):
        stream, squares = before.clone(), sums_of_squares(before)
        first = HopperGemm("PROJECT", stream, w[0], qkv, squares, project, eps=EPS)
        x = qkv[:, :2048].contiguous()  # not read anew: only its timing matters
        second = HopperGemm("ADD", x, w[1], stream, squares, add)
        for _ in range(50):
            first.launch(is_overlapped)
            second.launch(is_overlapped)
        return stream, qkv.clone(), squares

    saved = qkv.clone()
    results = []
    for is_overlapped in (False, True, True):
        qkv.copy_(saved)
        results.append(run(is_overlapped))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
