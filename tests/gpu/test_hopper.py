"""On a Hopper GPU: the products in CUDA C++ equal their references, with and without overlap."""

import pytest
import torch

from nanovllm_edu.fused_decode.gemm_plan import HOPPER_PLANS, plan_for
from nanovllm_edu.kernels.hopper.gemm import HopperGemm
from nanovllm_edu.kernels.triton import norm_gate_up, norm_project, project_add
from tests.gpu.models import randn, relative_error

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("hopper_gpu")]

HIDDEN, QKV, ATTENTION, INTERMEDIATE, EPS = 1024, 4096, 2048, 3072, 1e-6
ROWS = (5, 8, 64, 65, 96, 100, 128, 129, 200, 256)


def sums_of_squares(stream):
    return stream.float().square().unflatten(1, (16, -1)).sum(2)


def assert_close(actual, expected):
    assert relative_error(actual, expected) < 5e-3


def test_all_plans_are_tried():
    tried = {id(plan_for(rows, has_hopper=True)) for rows in ROWS}
    assert tried == set(map(id, HOPPER_PLANS.values()))


@pytest.mark.parametrize("num_rows", ROWS)
def test_project(num_rows):
    stream, w = randn(num_rows, HIDDEN, scale=3), randn(QKV, HIDDEN, scale=0.03)
    out = randn(num_rows, QKV) * float("nan")
    tiles = plan_for(num_rows, has_hopper=True).qkv
    if tiles is None:
        pytest.skip("made by the library")
    HopperGemm("PROJECT", stream, w, out, sums_of_squares(stream), tiles, eps=EPS).launch()
    ones = torch.ones(HIDDEN, device="cuda")
    assert_close(out, norm_project.reference(stream.float(), ones, w.float(), EPS))


@pytest.mark.parametrize("num_rows", ROWS)
def test_gate_up(num_rows):
    stream, w = randn(num_rows, HIDDEN, scale=3), randn(2 * INTERMEDIATE, HIDDEN, scale=0.03)
    out = randn(num_rows, INTERMEDIATE) * float("nan")
    tiles = plan_for(num_rows, has_hopper=True).gate_up
    HopperGemm("GATE_UP", stream, w, out, sums_of_squares(stream), tiles, eps=EPS).launch()
    ones = torch.ones(HIDDEN, device="cuda")
    assert_close(out, norm_gate_up.reference(stream.float(), ones, w.float(), EPS))


@pytest.mark.parametrize("name", ["o", "down"])
@pytest.mark.parametrize("num_rows", ROWS)
def test_add(num_rows, name):
    tiles = getattr(plan_for(num_rows, has_hopper=True), name)
    if tiles is None:
        pytest.skip("made by the library")
    depth = {"o": ATTENTION, "down": INTERMEDIATE}[name]
    x, w = randn(num_rows, depth), randn(HIDDEN, depth, scale=0.03)
    stream, norm = randn(num_rows, HIDDEN), randn(HIDDEN)
    expected = project_add.reference(x.float(), w.float(), stream.float())
    squares = torch.full((num_rows, 16), float("nan"), device="cuda")
    weighted = torch.full_like(stream, float("nan"))
    HopperGemm("ADD", x, w, stream, squares, tiles, weighted=weighted, norm_weight=norm).launch()
    assert_close(stream, expected)
    assert_close(weighted, expected * norm)
    torch.testing.assert_close(squares, sums_of_squares(stream), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("num_rows", [8, 128])
def test_overlap_and_repetition_change_no_bit(num_rows):
    plan = plan_for(num_rows, has_hopper=True)
    w = [randn(QKV, HIDDEN, scale=0.03), randn(HIDDEN, ATTENTION, scale=0.02)]
    before, qkv = randn(num_rows, HIDDEN), randn(num_rows, QKV)

    def run(is_overlapped):
        stream, squares = before.clone(), sums_of_squares(before)
        project = HopperGemm("PROJECT", stream, w[0], qkv, squares, plan.qkv, eps=EPS)
        x = qkv[:, :ATTENTION].contiguous()  # not read anew: only its timing matters
        add = HopperGemm("ADD", x, w[1], stream, squares, plan.o)
        for _ in range(50):
            project.launch(is_overlapped)
            add.launch(is_overlapped)
        return stream, qkv.clone(), squares

    qkv.copy_(randn(num_rows, QKV))
    saved = qkv.clone()
    results = []
    for is_overlapped in (False, True, True):
        qkv.copy_(saved)
        results.append(run(is_overlapped))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
