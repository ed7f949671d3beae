"""The readable operations against definitions written another way, number by number."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.nn import functional as F

from nanovllm_edu.layers.ops import Ops, TorchOps
from nanovllm_edu.layers.rotary import rotary_table

_OPS = TorchOps()
_ROPE = {"rope_type": "default", "rope_theta": 100.0}


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_torch_ops_are_ops() -> None:
    assert isinstance(_OPS, Ops)


def test_a_wrong_shape_is_refused_at_the_boundary() -> None:
    with pytest.raises(TypeCheckError, match="weight"):
        _OPS.rms_norm(_random(5, 8), _random(7), 1e-3)


def test_rms_norm_equals_torchs() -> None:
    x, weight = _random(5, 8), _random(8)
    torch.testing.assert_close(_OPS.rms_norm(x, weight, 1e-3), F.rms_norm(x, (8,), weight, 1e-3))


def test_a_row_of_zeros_stays_zero() -> None:
    assert _OPS.rms_norm(torch.zeros(1, 4), torch.ones(4), 1e-6).tolist() == [[0, 0, 0, 0]]


def test_add_rms_norm_returns_the_norm_and_the_new_stream() -> None:
    x, residual, weight = _random(5, 8), _random(5, 8) + 1, _random(8)
    residual_before = residual.clone()
    out, stream = _OPS.add_rms_norm(x, residual, weight, 1e-6)
    assert torch.equal(stream, x + residual)
    assert torch.equal(out, _OPS.rms_norm(x + residual, weight, 1e-6))
    assert torch.equal(residual, residual_before)


def test_rope_turns_pairs_as_complex_numbers() -> None:
    q, k = _random(3, 4, 6), _random(3, 2, 6)
    positions = torch.tensor([0, 7, 2])
    out_q, out_k = _OPS.qk_norm_rope(q, k, positions, rotary_table(6, _ROPE, 8), None, None, 1e-6)
    frequencies = torch.tensor([100.0 ** (-i / 3) for i in range(3)])
    turns = torch.exp(1j * positions[:, None] * frequencies)[:, None]
    for heads, out in ((q, out_q), (k, out_k)):
        turned = torch.complex(heads[..., :3], heads[..., 3:]) * turns
        torch.testing.assert_close(out, torch.cat((turned.real, turned.imag), dim=-1))


def test_only_the_distance_of_two_positions_matters() -> None:
    q, k = _random(1, 1, 8).expand(2, 1, 8), _random(1, 1, 8).add(1).expand(2, 1, 8)
    table = rotary_table(8, _ROPE, 50)

    def score(q_position: int, k_position: int) -> float:
        turned_q, turned_k = _OPS.qk_norm_rope(
            q, k, torch.tensor([q_position, k_position]), table, None, None, 1e-6
        )
        return float(turned_q[0, 0] @ turned_k[1, 0])

    assert score(13, 10) == pytest.approx(score(43, 40), abs=1e-5)
    assert score(13, 10) != pytest.approx(score(13, 11), abs=1e-3)


def test_each_of_q_and_k_is_normalised_by_its_own_weight_before_it_turns() -> None:
    q, k, positions = _random(3, 4, 6), _random(3, 2, 6), torch.tensor([1, 2, 3])
    q_weight, k_weight, table = _random(6), _random(6) + 1, rotary_table(6, _ROPE, 4)
    got = _OPS.qk_norm_rope(q, k, positions, table, q_weight, k_weight, 1e-6)
    normed = F.rms_norm(q, (6,), q_weight, 1e-6), F.rms_norm(k, (6,), k_weight, 1e-6)
    expected = _OPS.qk_norm_rope(*normed, positions, table, None, None, 1e-6)
    torch.testing.assert_close(got, expected)


def test_strided_views_of_a_merged_projection_are_taken() -> None:
    q, k = _random(3, 36).split([24, 12], dim=-1)
    q, k = q.unflatten(-1, (4, 6)), k.unflatten(-1, (2, 6))
    rest = (torch.tensor([0, 1, 2]), rotary_table(6, _ROPE, 3), None, None, 1e-6)
    got = _OPS.qk_norm_rope(q, k, *rest)
    expected = _OPS.qk_norm_rope(q.contiguous(), k.contiguous(), *rest)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_silu_and_mul_gates_the_second_half_by_the_first() -> None:
    out = _OPS.silu_and_mul(torch.tensor([[0.0, 2.0, 5.0, 3.0]]))
    torch.testing.assert_close(out, torch.tensor([[0.0, 3 * 2 / (1 + math.exp(-2))]]))


def test_16_bit_inputs_are_rounded_once_at_the_end() -> None:
    x, weight = _random(4, 64).bfloat16(), _random(64).bfloat16()
    expected = F.rms_norm(x.double(), (64,), weight.double(), 1e-6)
    got = _OPS.rms_norm(x, weight, 1e-6)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, expected.bfloat16())
