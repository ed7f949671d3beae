"""A step's first kernel looks up what the reference looks up, and leaves the squares."""

import pytest
import torch

from nanovllm_edu.kernels.triton import embed
from nanovllm_edu.kernels.triton.launch import launch_options


@pytest.mark.parametrize("num_parts", [0, 1, 3])
def test_the_newest_tokens_are_looked_up(device, num_parts):
    token_table = torch.randint(0, 150, (5, 65), device=device)
    table_rows = torch.tensor([3, 0, 4], device=device)
    context_lens = torch.tensor([1, 40, 64], dtype=torch.int32, device=device)
    embedding = torch.randn(150, 96, device=device)
    residual = torch.full((3, 96), float("nan"), device=device)
    squares = torch.full((3, num_parts), float("nan"), device=device) if num_parts else None
    embed.embed(
        token_table, table_rows, context_lens, embedding, residual, squares,
        launch_options(is_overlapped=False),
    )  # fmt: skip
    expected = embed.reference(token_table, table_rows, context_lens, embedding)
    assert torch.equal(residual, expected)
    if squares is not None:
        torch.testing.assert_close(squares.sum(1), expected.square().sum(1))
