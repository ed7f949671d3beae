"""The norm's two ways of being called."""

import torch

from nanovllm_edu.layers.ops import TorchOps
from nanovllm_edu.layers.rms_norm import RMSNorm


def _norm() -> RMSNorm:
    norm = RMSNorm(4, 1e-6, dtype=torch.float32, ops=TorchOps()).requires_grad_(False)
    norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    return norm


def test_the_first_norm_starts_the_residual_stream() -> None:
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    out, residual = _norm()(x, None)
    torch.testing.assert_close(out, torch.tensor([[1.0, -2.0, 3.0, -4.0]]))
    assert residual is x


def test_later_norms_add_to_it_first() -> None:
    x, residual = torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0, 2.0]])
    out, stream = _norm()(x, residual)
    assert stream.tolist() == [[2.0, 2.0, 2.0, 2.0]]
    torch.testing.assert_close(out, torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
