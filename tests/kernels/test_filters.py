"""The cut-offs found bit by bit keep what sorting keeps."""

import pytest
import torch

from nanovllm_edu.kernels.triton import filters
from nanovllm_edu.kernels.triton.filters import cutoffs_of
from nanovllm_edu.sampling import stages

FILTERS = {
    "none": (0, 1.0, 0.0),
    "top-k": (7, 1.0, 0.0),
    "top-k of 1": (1, 1.0, 0.0),
    "more than there are": (10**6, 1.0, 0.0),
    "top-p": (0, 0.7, 0.0),
    "tiny top-p": (0, 1e-6, 0.0),
    "min-p": (0, 1.0, 0.05),
    "all three": (40, 0.8, 0.02),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocab_size", [150, 5000])
def test_what_is_kept(device, dtype, vocab_size):
    logits = (3 * torch.randn(len(FILTERS), vocab_size, device=device)).to(dtype)
    columns = list(zip(*FILTERS.values(), strict=True))
    top_k = torch.tensor(columns[0], dtype=torch.int32, device=device)
    top_p, min_p = (torch.tensor(column, device=device) for column in columns[1:])
    temperature = torch.linspace(0.5, 1.5, len(FILTERS), device=device)
    cutoffs = cutoffs_of(logits, temperature, top_k, top_p, min_p)
    kept = logits.float() >= cutoffs[:, None]
    wanted = filters.reference(logits, temperature, top_k, top_p, min_p) > stages.DROPPED
    for row, name in enumerate(FILTERS):
        assert torch.equal(kept[row], wanted[row]), name
    assert cutoffs[0] == stages.DROPPED


def test_equal_logits_share_their_fate_and_negative_ones_are_ordered(device):
    logits = torch.tensor([[-3.0, -1.0, -1.0, -2.0, -0.0, 0.0]], device=device)
    one = torch.ones(1, device=device)
    for top_k, kept in ((1, 2), (2, 2), (3, 4), (5, 5), (6, 6)):
        cutoff = cutoffs_of(logits, one, torch.tensor([top_k], device=device), one, 0 * one)
        assert int((logits >= cutoff).sum()) == kept, top_k


def test_a_greedy_row_keeps_all(device):
    logits, zero = torch.randn(1, 100, device=device), torch.zeros(1, device=device)
    cutoff = cutoffs_of(logits, zero, torch.tensor([3], device=device), zero + 0.5, zero)
    assert cutoff.tolist() == [float("-inf")]
