"""On a Hopper GPU: prefill attention in CUDA C++ equals its reference, whatever the lengths."""

import pytest
import torch

from nanovllm_edu.kernels.hopper.prefill import HopperPrefill, HopperPrefillTiles
from tests.gpu.models import relative_error
from tests.kernels.test_hopper_prefill import expected, make_case

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("hopper_gpu")]

QUERY_LENS = [1, 300, 0, 17, 128, 64, 5, 513, 9, 33, 1, 0]
CONTEXT_LENS = [1, 300, 5, 600, 128, 64, 1029, 700, 0, 33, 777, 0]


def on_gpu(*shape):
    """Random operands; what is nobody's is no number."""
    case = make_case(QUERY_LENS, CONTEXT_LENS, *shape)
    return tuple(operand.to("cuda") for operand in case), expected(*case).to("cuda")


def run(attend, case):
    out = torch.full(case[0].shape, float("nan"), dtype=torch.bfloat16, device="cuda")
    attend(*case, out)
    return out


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "block_size"),
    [
        (4, 4, 128, 16),
        (8, 4, 128, 256),
        (6, 2, 128, 48),
        (8, 2, 128, 64),
        (16, 2, 128, 128),
        (4, 4, 64, 80),
        (8, 4, 64, 256),
        (6, 2, 64, 16),
        (16, 2, 64, 32),
    ],
)
def test_every_shape(heads, kv_heads, head_dim, block_size):
    case, reference = on_gpu(heads, kv_heads, head_dim, block_size)
    out = run(HopperPrefill(), case)
    assert relative_error(out, reference) < 5e-3
    assert not out[reference.flatten(1).abs().sum(1) == 0].any(), "padding becomes zeros"


@pytest.mark.parametrize("take_turns", [True, False])
@pytest.mark.parametrize(("head_dim", "groups", "places"), [(128, 2, 5), (64, 2, 8), (64, 3, 4)])
def test_every_cut(head_dim, groups, places, take_turns):
    case, reference = on_gpu(16, 8, head_dim, 32)
    out = run(HopperPrefill(HopperPrefillTiles(groups, places, take_turns)), case)
    assert relative_error(out, reference) < 5e-3


def test_repetition_changes_no_bit_and_a_graph_can_record_it():
    case, _ = on_gpu(16, 8, 128, 16)
    attend = HopperPrefill()
    first = run(attend, case)
    assert all(torch.equal(run(attend, case), first) for _ in range(5))
    out, graph = torch.empty_like(first), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        attend(*case, out)
    for _ in range(3):
        out.fill_(float("nan"))
        graph.replay()
        assert torch.equal(out, first)
