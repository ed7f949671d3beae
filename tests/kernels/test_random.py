"""The Triton hash draws the same numbers as its torch reference."""

import torch
import triton
import triton.language as tl

from nanovllm_edu.kernels.triton.random import gumbel_noise
from nanovllm_edu.sampling import random as reference


@triton.jit
def _noise_kernel(seeds_ptr, positions_ptr, out_ptr, M: tl.constexpr, N: tl.constexpr):
    rows, ids = tl.arange(0, M), tl.arange(0, N)
    noise = gumbel_noise(tl.load(seeds_ptr + rows), tl.load(positions_ptr + rows), ids)
    tl.store(out_ptr + rows[:, None] * N + ids[None, :], noise)


def test_noise_is_that_of_the_reference(device):
    seeds = torch.tensor([0, 1, -1, 2**40 + 7, -(2**63), 123, 5, 6], device=device)
    positions = torch.tensor([0, 1, 2, 3, 4, 2**20, 6, 7], device=device)
    noise = torch.empty(8, 512, device=device)
    _noise_kernel[(1,)](seeds, positions, noise, M=8, N=512)
    expected = reference.gumbel_noise(seeds, positions, 512)
    torch.testing.assert_close(noise, expected, rtol=1e-5, atol=1e-6)
