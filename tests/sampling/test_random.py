"""The hash equals its reference bit for bit, and its numbers look random."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanovllm_edu.sampling.random import gumbel_noise, gumbel_of, random_bits, uniform_of
from tests.sampling import reference

SIGNED_64 = st.integers(-(2**63), 2**63 - 1)


@given(seed=SIGNED_64, position=st.integers(0, 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_bits_equal_the_reference_bit_for_bit(seed: int, position: int):
    bits = random_bits(torch.tensor([seed]), torch.tensor([position]), 40)
    expected = [reference.random_bits(seed % 2**64, position, i) for i in range(40)]
    assert [value % 2**32 for value in bits[0].tolist()] == expected


def test_noise_of_a_row_does_not_depend_on_the_other_rows():
    seeds, positions = torch.tensor([3, 2**40, -1]), torch.tensor([0, 17, 99])
    together = gumbel_noise(seeds, positions, 100)
    for row in range(3):
        alone = gumbel_noise(seeds[row : row + 1], positions[row : row + 1], 100)
        assert torch.equal(alone[0], together[row])


def test_noise_of_a_token_does_not_depend_on_the_vocabulary_size():
    seeds, positions = torch.tensor([3]), torch.tensor([5])
    assert torch.equal(
        gumbel_noise(seeds, positions, 50), gumbel_noise(seeds, positions, 99)[:, :50]
    )


def test_uniform_is_never_0_or_1_and_the_noise_is_finite():
    extremes = torch.tensor([0, 1, -1, 2**31 - 1, -(2**31)], dtype=torch.int32)
    uniform = uniform_of(extremes)
    assert uniform.min() == 2.0**-24
    assert uniform.max() == 1 - 2.0**-24
    assert gumbel_of(uniform).isfinite().all()


def test_each_bit_is_set_half_the_time():
    bits = random_bits(torch.arange(200), torch.full((200,), 7), 500)
    for shift in range(32):
        share = (bits >> shift & 1).float().mean().item()
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(bits.numel())


def test_neighbouring_seeds_positions_and_tokens_are_uncorrelated():
    seeds = torch.arange(100).repeat_interleave(20)
    positions = torch.arange(20).repeat(100)
    noise = uniform_of(random_bits(seeds, positions, 64)).view(100, 20, 64) - 0.5
    limit = 5 / 12 / math.sqrt(noise.numel())
    assert (noise[1:] * noise[:-1]).mean().abs() < limit
    assert (noise[:, 1:] * noise[:, :-1]).mean().abs() < limit
    assert (noise[:, :, 1:] * noise[:, :, :-1]).mean().abs() < limit


def test_gumbel_noise_has_its_mean_and_variance():
    noise = gumbel_noise(torch.arange(400), torch.full((400,), 3), 500).double()
    assert abs(noise.mean().item() - 0.57722) < 0.01
    assert abs(noise.var().item() - math.pi**2 / 6) < 0.03


@pytest.mark.gpu
def test_a_gpu_computes_the_same_bits():
    seeds, positions = torch.tensor([3, 2**40, -1]), torch.tensor([0, 17, 99])
    on_gpu = random_bits(seeds.cuda(), positions.cuda(), 5000)
    assert torch.equal(on_gpu.cpu(), random_bits(seeds, positions, 5000))
