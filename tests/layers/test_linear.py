"""Merged matrices: one product, and views to fill its parts by."""

import torch
from torch.nn import functional as F

from nanovllm_edu.layers.linear import MergedLinear


def _filled() -> MergedLinear:
    merged = MergedLinear(4, {"a": 3, "b": 2}, bias=True, dtype=torch.float32)
    for _, view in merged.requires_grad_(False).part_views():
        view.copy_(torch.randn(view.shape, generator=torch.Generator().manual_seed(view.numel())))
    return merged


def test_parts_are_named_after_the_checkpoint_and_shaped_as_there() -> None:
    shapes = {name: tuple(view.shape) for name, view in _filled().part_views()}
    assert shapes == {"a.weight": (3, 4), "b.weight": (2, 4), "a.bias": (3,), "b.bias": (2,)}


def test_one_product_equals_the_parts_products() -> None:
    merged, x = _filled(), torch.arange(8.0).reshape(2, 4)
    views = dict(merged.part_views())
    for part, result in zip(("a", "b"), merged.split(merged(x)), strict=True):
        expected = F.linear(x, views[f"{part}.weight"], views[f"{part}.bias"])
        torch.testing.assert_close(result, expected)


def test_without_bias_there_are_only_weights() -> None:
    merged = MergedLinear(4, {"a": 3, "b": 2}, bias=False, dtype=torch.float32)
    assert [name for name, _ in merged.part_views()] == ["a.weight", "b.weight"]
