"""The judge of the GPU tests grants a token its rounding, and nothing more. It needs no GPU."""

import pytest
import torch

from nanovllm_edu import SamplingParams
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingRow, SamplingTensors
from tests.gpu.judge import ERROR, winners

KINDS = [
    SamplingParams(temperature=0),
    SamplingParams(temperature=0.8),
    SamplingParams(temperature=0.8, top_p=0.9),
    SamplingParams(temperature=1.2, top_k=20, min_p=0.02),
]
NUM_ROWS, VOCABULARY = 400, 2000


def drawn(params: SamplingParams, error: float) -> tuple[torch.Tensor, ...]:
    """Exact logits, tokens that were drawn from inexact ones, and how."""
    torch.manual_seed(1)
    logits = 2 * torch.randn(NUM_ROWS, VOCABULARY)
    sampling = SamplingTensors.build([SamplingRow(params, i, 5, 5) for i in range(NUM_ROWS)], "cpu")
    largest = logits.abs().amax(1, keepdim=True)
    inexact = logits + error * largest * (2 * torch.rand_like(logits) - 1)
    return logits, Sampler().choose(inexact, sampling), sampling


@pytest.mark.parametrize("params", KINDS)
def test_rounding_is_granted(params):
    logits, chosen, sampling = drawn(params, ERROR)
    assert torch.equal(winners(logits, chosen, sampling), chosen)
    assert not torch.equal(Sampler().choose(logits, sampling), chosen), "nothing was to be granted"


@pytest.mark.parametrize("params", KINDS)
def test_more_is_not(params):
    logits, _, sampling = drawn(params, 0)
    others = torch.randint(VOCABULARY, (NUM_ROWS,))
    accepted = (winners(logits, others, sampling) == others).float().mean()
    assert accepted < 0.02, f"{accepted:.1%} of random tokens pass"
    logits, chosen, sampling = drawn(params, 20 * ERROR)
    assert not torch.equal(winners(logits, chosen, sampling), chosen)
