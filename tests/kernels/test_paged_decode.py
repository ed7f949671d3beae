"""How decode attention is cut does not change what it computes."""

import pytest
import torch

from nanovllm_edu.kernels.triton import paged_decode
from nanovllm_edu.kernels.triton.decode_operands import DecodeTiles, DecodeWorkspace, NewTokens
from nanovllm_edu.kernels.triton.flash import LOG2_E
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.paged_decode import launch_decode


@pytest.mark.parametrize(
    "tiles",
    [
        DecodeTiles(1, 16, 16),
        DecodeTiles(8, 16, 16),
        DecodeTiles(8, 32, 16),
        DecodeTiles(2, 16, 16),
    ],
)
@pytest.mark.parametrize("block_size", [8, 32])
def test_every_cut_of_the_work_gives_the_same_attention(device, tiles, block_size):
    lengths = torch.tensor([80, 33, 32, 17, 1], dtype=torch.int32, device=device)
    qkv = torch.randn(5, 8 * 64, device=device)
    tables = torch.randperm(6 * (128 // block_size), device=device).int().view(6, -1)
    rows = torch.tensor([4, 0, 5, 2, 1], device=device)
    cache = torch.randn(2, tables.numel(), block_size, 2, 64, device=device)
    new = NewTokens(torch.randn(128, 64, device=device), None, None, None, 1e-6)
    expected_cache = cache.clone()
    expected = paged_decode.reference(qkv, expected_cache, tables, rows, lengths, 4, new)
    workspace = DecodeWorkspace.allocate(5, 128, 4, 2, 64, torch.device(device), tiles)
    out = torch.full((5, 4, 64), float("nan"), device=device)
    launch_decode(
        qkv, cache, out, tables, rows, lengths, workspace,
        scale=64**-0.5 * LOG2_E, fused=new, options=launch_options(is_overlapped=False),
    )  # fmt: skip
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(cache, expected_cache) or torch.allclose(cache, expected_cache, atol=1e-4)
