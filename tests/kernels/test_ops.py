"""Each memory-bound kernel equals its reference in torch on random inputs, odd shapes included."""

import pytest
import torch

from nanovllm_edu.attention.base import store
from nanovllm_edu.kernels.triton.ops import TritonOps
from nanovllm_edu.kernels.triton.store_kv import store_kv
from nanovllm_edu.layers.ops import TorchOps
from tests.attention.batches import cache_of

triton_ops, torch_ops = TritonOps(), TorchOps()


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 64), (5, 96), (2, 3, 128)])
def test_rms_norm(device, shape):
    x, weight = torch.randn(shape, device=device), torch.randn(shape[-1], device=device)
    assert_close(triton_ops.rms_norm(x, weight, 1e-6), torch_ops.rms_norm(x, weight, 1e-6))


@pytest.mark.parametrize("dim", [64, 96])
def test_add_rms_norm(device, dim):
    x, residual = torch.randn(2, 7, dim, device=device)
    weight = torch.randn(dim, device=device)
    before = residual.clone()
    for actual, expected in zip(
        triton_ops.add_rms_norm(x, residual, weight, 1e-6),
        torch_ops.add_rms_norm(x, residual, weight, 1e-6),
        strict=True,
    ):
        assert_close(actual, expected)
    assert torch.equal(residual, before), "an input was changed"


@pytest.mark.parametrize(
    ("num_heads", "num_kv_heads", "head_dim"), [(4, 2, 64), (14, 2, 64), (3, 1, 32)]
)
@pytest.mark.parametrize("has_norm", [True, False])
def test_qk_norm_rope_of_a_merged_projection(device, num_heads, num_kv_heads, head_dim, has_norm):
    num_tokens = 5
    width = (num_heads + 2 * num_kv_heads) * head_dim
    qkv = torch.randn(num_tokens, width, device=device)
    q, k, _ = qkv.view(num_tokens, -1, head_dim).split([num_heads, num_kv_heads, num_kv_heads], 1)
    positions = torch.randint(0, 50, (num_tokens,), device=device)
    cos_sin = torch.randn(50, head_dim, device=device)
    weights = torch.randn(2, head_dim, device=device) if has_norm else (None, None)
    arguments = (q, k, positions, cos_sin, *weights, 1e-6)
    for actual, expected in zip(
        triton_ops.qk_norm_rope(*arguments), torch_ops.qk_norm_rope(*arguments), strict=True
    ):
        assert_close(actual, expected)


def test_silu_and_mul(device):
    gate_up = 3 * torch.randn(5, 2 * 1500, device=device)
    assert_close(triton_ops.silu_and_mul(gate_up), torch_ops.silu_and_mul(gate_up))


def test_no_tokens(device):
    empty = torch.empty(0, 64, device=device)
    weight = torch.ones(64, device=device)
    assert triton_ops.rms_norm(empty, weight, 1e-6).shape == (0, 64)
    assert triton_ops.add_rms_norm(empty, empty, weight, 1e-6)[0].shape == (0, 64)
    assert triton_ops.silu_and_mul(empty).shape == (0, 32)


def test_store_kv_writes_the_mapped_slots_and_no_other(device):
    num_tokens, num_kv_heads, head_dim, block_size = 6, 3, 32, 4
    qkv = torch.randn(num_tokens, 5 * num_kv_heads, head_dim, device=device)
    k, v = qkv[:, -2 * num_kv_heads : -num_kv_heads], qkv[:, -num_kv_heads:]
    cache = cache_of(torch.randn(2, 2, 5, block_size, num_kv_heads, head_dim, device=device))
    slots = torch.randperm(5 * block_size, device=device)[:num_tokens]
    expected = cache.copy()
    store(expected, 1, slots, k, v)
    store_kv(cache, 1, slots, k, v)
    assert torch.equal(cache.data, expected.data)
