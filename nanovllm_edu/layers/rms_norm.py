"""RMSNorm as a module: a weight, an epsilon, and whose arithmetic to use.

The residual stream is passed along beside the hidden states rather than inside them, because then
"add the last sublayer's output to the stream" and "normalise the stream for the next sublayer" are
one operation over the same memory.

Read next: `rotary.py`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nanovllm_edu.layers.ops import Ops


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with an optional residual addition in front.

    Args:
        dim: Length of a row.
        eps: Added to the mean square, so that a row of zeros divides by something.
        dtype: The weight's dtype.
        ops: Who does the arithmetic.
    """

    def __init__(self, dim: int, eps: float, *, dtype: torch.dtype, ops: Ops) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dtype=dtype))
        self.eps = eps
        self.ops = ops

    def forward(
        self, x: Float[Tensor, "tokens dim"], residual: Float[Tensor, "tokens dim"] | None
    ) -> tuple[Float[Tensor, "tokens dim"], Float[Tensor, "tokens dim"]]:
        """Add `x` to the residual stream and normalise the sum.

        Args:
            x: What the last sublayer produced, or the embeddings where there was none.
            residual: The stream so far; None starts one with `x`.

        Returns:
            The normalised rows, and the stream with `x` in it.
        """
        if residual is None:
            return self.ops.rms_norm(x, self.weight, self.eps), x
        return self.ops.add_rms_norm(x, residual, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"
