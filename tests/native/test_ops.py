"""Each operation in C equals its reference in torch, odd shapes, views and many rows included."""

import copy

import pytest
import torch

from nanovllm_edu.layers.ops import Ops, TorchOps
from nanovllm_edu.native import ops
from nanovllm_edu.native.ops import NativeOps
from nanovllm_edu.native.threads import load_kernels

native, readable = NativeOps(), TorchOps()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def assert_close(actual, expected) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_native_ops_are_ops_and_can_be_copied_with_a_model() -> None:
    assert isinstance(native, Ops)
    assert isinstance(copy.deepcopy(native), NativeOps)


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (5, 97), (2, 3, 128), (200, 256), (0, 8)])
def test_rms_norm(shape) -> None:
    x, weight = torch.randn(shape), torch.randn(shape[-1])
    assert_close(native.rms_norm(x, weight, 1e-6), readable.rms_norm(x, weight, 1e-6))


def test_a_row_of_zeros_stays_zero() -> None:
    assert native.rms_norm(torch.zeros(1, 4), torch.ones(4), 1e-6).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("shape", [(1, 64), (7, 96), (300, 64)])
def test_add_rms_norm(shape) -> None:
    x, residual = torch.randn(2, *shape)
    weight = torch.randn(shape[-1])
    before = residual.clone()
    actual = native.add_rms_norm(x, residual, weight, 1e-6)
    assert_close(actual, readable.add_rms_norm(x, residual, weight, 1e-6))
    assert torch.equal(residual, before), "an input was changed"


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 2, 64), (14, 2, 6), (3, 1, 34)])
@pytest.mark.parametrize("num_tokens", [1, 5, 90])
@pytest.mark.parametrize("has_norm", [True, False])
def test_qk_norm_rope_of_a_merged_projection(
    heads: int, kv_heads: int, head_dim: int, num_tokens: int, has_norm: bool
) -> None:
    qkv = torch.randn(num_tokens, heads + 2 * kv_heads, head_dim)
    q, k, _ = qkv.split([heads, kv_heads, kv_heads], dim=1)
    weights = torch.randn(2, head_dim) if has_norm else (None, None)
    positions, cos_sin = torch.randint(0, 50, (num_tokens,)), torch.randn(50, head_dim)
    arguments = (q, k, positions, cos_sin, *weights, 1e-6)
    assert_close(native.qk_norm_rope(*arguments), readable.qk_norm_rope(*arguments))


def test_heads_that_do_not_lie_side_by_side_are_taken_too() -> None:
    q, k = torch.randn(6, 3, 4, 8).unbind(1)[:2]
    q, k = q.transpose(0, 1), k.transpose(0, 1)
    rest = (torch.arange(4), torch.randn(4, 8), None, None, 1e-6)
    assert_close(native.qk_norm_rope(q, k, *rest), readable.qk_norm_rope(q, k, *rest))


@pytest.mark.parametrize("position", [-1, 50])
def test_a_position_outside_the_table_is_refused(position: int) -> None:
    q, k = torch.randn(2, 1, 2, 8)
    with pytest.raises(AssertionError):
        native.qk_norm_rope(q, k, torch.tensor([position]), torch.randn(50, 8), None, None, 1e-6)


@pytest.mark.parametrize("shape", [(5, 2 * 1500), (1, 2), (64, 2 * 200)])
def test_silu_and_mul(shape) -> None:
    gate_up = 3 * torch.randn(shape)
    assert_close(native.silu_and_mul(gate_up), readable.silu_and_mul(gate_up))


def test_silu_of_huge_numbers() -> None:
    gate_up = torch.tensor([[-1e4, -200.0, -88.0, 88.0, 200.0, 1e4, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    assert_close(native.silu_and_mul(gate_up), readable.silu_and_mul(gate_up))


def test_other_types_and_shapes_are_refused() -> None:
    with pytest.raises(AssertionError):
        native.rms_norm(torch.ones(2, 4, dtype=torch.float64), torch.ones(4), 1e-6)
    with pytest.raises(AssertionError):
        native.rms_norm(torch.ones(2, 4), torch.ones(3), 1e-6)
    with pytest.raises(AssertionError):
        native.add_rms_norm(torch.ones(2, 4), torch.ones(1, 4), torch.ones(4), 1e-6)


def test_what_they_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert ops.why_unavailable(cpu, torch.float32) is None
    assert "float32" in str(ops.why_unavailable(cpu, torch.bfloat16))
    assert "run on a CPU" in str(ops.why_unavailable(torch.device("cuda"), torch.float32))
    load_kernels.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no C compiler was found" in str(ops.why_unavailable(cpu, torch.float32))
