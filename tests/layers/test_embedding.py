"""One matrix, read in both directions."""

import torch

from nanovllm_edu.layers.embedding import Embedding


def test_rows_are_looked_up_and_scored_against() -> None:
    embedding = Embedding(3, 2, dtype=torch.float32).requires_grad_(False)
    embedding.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]))
    hidden = embedding(torch.tensor([2, 0]))
    assert hidden.tolist() == [[2.0, 2.0], [1.0, 0.0]]
    assert embedding.scores(hidden).tolist() == [[2.0, 2.0, 8.0], [1.0, 0.0, 2.0]]
