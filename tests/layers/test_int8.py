"""Weights in 8 bits: how far off they are, and what they stand for."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.layers.int8 import GROUP, Int8Weight, dequantize, quantize, squared_error


@given(st.integers(1, 5), st.integers(1, 3 * GROUP), st.integers(0, 2**32 - 1))
def test_no_weight_is_off_by_more_than_half_a_scale(outputs: int, inputs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator)
    kept = quantize(weight)
    assert kept.integers.dtype == torch.int8
    assert kept.integers.shape == weight.shape
    assert kept.scales.shape == (outputs, -(-inputs // GROUP))
    scales = kept.scales.repeat_interleave(GROUP, dim=1)[:, :inputs]
    assert ((dequantize(kept) - weight).abs() <= scales * 0.5001).all()
    assert int(kept.integers.abs().max()) == 127  # the largest of a group is kept as it is


def test_zeros_stay_zeros_and_a_large_weight_spoils_its_group_alone() -> None:
    weight = torch.zeros(1, 2 * GROUP)
    weight[0, 1], weight[0, GROUP:] = 1000.0, 0.5
    there = dequantize(quantize(weight))
    torch.testing.assert_close(there, weight, rtol=1e-6, atol=0)
    weight[0, 0] = 0.5  # beside the large one
    assert dequantize(quantize(weight))[0, 0] == 0


def test_it_reads_as_it_is_written() -> None:
    kept = Int8Weight(torch.tensor([[-127, 2]], dtype=torch.int8), torch.tensor([[0.25]]))
    assert dequantize(kept).tolist() == [[-31.75, 0.5]]
    assert squared_error(torch.tensor([[-31.0, 1.0]]), kept) == (0.75**2 + 0.5**2, 31.0**2 + 1)
