"""Tokens in, scores out: the two matrices that are as tall as the vocabulary.

They have the same shape, and small models make them the same matrix ("tied"): half of a small
model's parameters would otherwise be spent on saying each token twice.

Read next: `models/qwen3.py`, where everything in this folder is put together.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from nanovllm_edu.layers.packed import Gemm, PackedMatrix


class Embedding(nn.Module):
    """A vector per token id, uninitialised until a loader fills it.

    Args:
        vocab_size: Number of token ids.
        hidden_size: Length of a vector.
        dtype: The vectors' dtype.
    """

    def __init__(self, vocab_size: int, hidden_size: int, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, hidden_size, dtype=dtype))
        self.gemm: Gemm = PackedMatrix()

    def forward(self, token_ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens hidden"]:
        """Look up one row per token. Ids outside the vocabulary are the caller's bug."""
        return F.embedding(token_ids, self.weight)

    def scores(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """Compare each hidden row with every token's vector: the logits, in `hidden`'s dtype."""
        return self.gemm(hidden, self.weight)

    def extra_repr(self) -> str:
        vocab_size, hidden_size = self.weight.shape
        return f"{vocab_size} tokens -> {hidden_size}"
