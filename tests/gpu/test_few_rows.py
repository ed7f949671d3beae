"""On a Hopper GPU: the GEMMs of few rows equal their references, with and without overlap."""

import pytest
import torch

from nanovllm_edu.fused_decode.gemm_candidates import few_rows_tiles
from nanovllm_edu.fused_decode.gemm_plan import GemmShape
from nanovllm_edu.kernels.hopper.few_rows import PART, FewRowsGemm
from nanovllm_edu.kernels.triton import norm_gate_up, norm_project, project_add
from tests.gpu.models import randn, relative_error

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("hopper_gpu")]

EPS = 1e-6
ROWS = (1, 8, 13, 16)
HIDDEN = (1024, 2560)


def assert_close(actual, expected):
    assert relative_error(actual, expected) < 5e-3


def cuts(kind, num_columns, depth, num_rows):
    """What could be chosen for a GEMM."""
    found = few_rows_tiles(GemmShape(kind, num_columns, depth), num_rows)
    assert len(found) > 2
    return found


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_project(num_rows, hidden):
    stream, w = randn(num_rows, hidden, scale=3), randn(512, hidden, scale=0.03)
    ones = torch.ones(hidden, device="cuda")
    expected = norm_project.reference(stream.float(), ones, w.float(), EPS)
    for tiles in cuts("PROJECT", 512, hidden, num_rows):
        out = randn(num_rows, 512) * float("nan")
        FewRowsGemm("PROJECT", stream, w, out, None, tiles, eps=EPS).launch()
        assert_close(out, expected)


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gate_up(num_rows, hidden):
    stream, w = randn(num_rows, hidden, scale=3), randn(2 * 384, hidden, scale=0.03)
    ones = torch.ones(hidden, device="cuda")
    expected = norm_gate_up.reference(stream.float(), ones, w.float(), EPS)
    for tiles in cuts("GATE_UP", 384, hidden, num_rows):
        out = randn(num_rows, 384) * float("nan")
        FewRowsGemm("GATE_UP", stream, w, out, None, tiles, eps=EPS).launch()
        assert_close(out, expected)


def test_a_deep_gemm_may_be_split():
    assert {tiles.splits for tiles in cuts("ADD", 2560, 9728, 8)} == {1, 4}


@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize(("hidden", "depth"), [(1024, 2048), (2560, 9728)])
def test_add(num_rows, hidden, depth):
    x, w = randn(num_rows, depth), randn(hidden, depth, scale=0.03)
    before, norm = randn(num_rows, hidden), randn(hidden)
    expected = project_add.reference(x.float(), w.float(), before.float())
    for tiles in cuts("ADD", hidden, depth, num_rows):
        stream, weighted = before.clone(), torch.full_like(before, float("nan"))
        squares = torch.full((num_rows, hidden // PART), float("nan"), device="cuda")
        gemm = FewRowsGemm("ADD", x, w, stream, squares, tiles, weighted=weighted, norm_weight=norm)
        gemm.launch()
        assert_close(stream, expected)
        assert_close(weighted, expected * norm)
        parts = stream.float().square().unflatten(1, (-1, PART)).sum(2)
        torch.testing.assert_close(squares, parts, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("num_rows", [1, 8, 16])
@pytest.mark.parametrize("place", [0, 2])
def test_overlap_and_repetition_change_no_bit(num_rows, place):
    project = cuts("PROJECT", 4096, 1024, num_rows)[place]
    add = cuts("ADD", 1024, 2048, num_rows)[place]
    w = [randn(4096, 1024, scale=0.03), randn(1024, 2048, scale=0.02)]
    before, first_qkv = randn(num_rows, 1024), randn(num_rows, 4096)

    def run(is_overlapped):
        stream, qkv = before.clone(), first_qkv.clone()
        squares = torch.zeros(num_rows, 1024 // PART, device="cuda")
        first = FewRowsGemm("PROJECT", stream, w[0], qkv, None, project, eps=EPS)
        x = qkv[:, :2048].contiguous()  # not read anew: only its timing matters
        second = FewRowsGemm("ADD", x, w[1], stream, squares, add)
        for _ in range(50):
            first.launch(is_overlapped)
            second.launch(is_overlapped)
        return stream, qkv, squares

    results = [run(is_overlapped) for is_overlapped in (False, True, True)]
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
