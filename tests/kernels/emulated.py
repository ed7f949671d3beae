"""Operands of emulated GEMMs, and how near their results must be."""

import torch


def bf16(*shape, scale=1.0):
    return (scale * torch.randn(*shape)).to(torch.bfloat16)


def nothing_like(tensor):
    return torch.full_like(tensor, float("nan"))


def assert_close(actual, expected):
    assert (actual.float() - expected).norm() < 5e-3 * expected.norm()
