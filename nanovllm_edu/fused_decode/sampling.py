"""Sampling when the logits are in memory: by the library's GEMM, or because filters must see a row.

Read next: `kernels/triton/propose.py`, `kernels/triton/filters.py`.
"""

from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.triton.filters import cutoffs_of
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.norm import rms_norm
from nanovllm_edu.kernels.triton.pick import pick
from nanovllm_edu.kernels.triton.propose import propose


def sample_from(
    residual: Tensor, weights: ModelWeights, inputs: DecodeInputs, is_filtered: bool
) -> None:
    """The last norm, the library's vocabulary GEMM, and `sample`.

    Args:
        residual: The residual stream after the last layer, `[R, hidden]`.
        weights: The model's.
        inputs: Their first R rows are drawn for, and moved on.
        is_filtered: Apply top-k, top-p and min-p.
    """
    normed = rms_norm(residual, weights.final_norm, weights.eps)
    sample(F.linear(normed, weights.head), inputs, is_filtered)


def sample(logits: Tensor, inputs: DecodeInputs, is_filtered: bool) -> None:
    """Draws a token for each of the first rows of `inputs`, and moves them on by it."""
    cutoffs = None
    if is_filtered:
        cutoffs = cutoffs_of(
            logits, inputs.temperatures, inputs.top_ks, inputs.top_ps, inputs.min_ps
        )
    # A token's position is the number of tokens before it.
    best = propose(logits, inputs.seeds, inputs.temperatures, inputs.context_lens, cutoffs)
    pick(
        best,
        inputs.sampled,
        inputs.token_table,
        inputs.table_rows,
        inputs.context_lens,
        inputs.advances,
        launch_options(is_overlapped=False),
    )
