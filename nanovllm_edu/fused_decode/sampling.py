"""Sampling when the logits are in memory: by the library's GEMM, or because filters must see a row.

Where several GPUs share the vocabulary, each proposes its best token of each row, and the best of
these is drawn: a few bytes are exchanged instead of logits. Only filters need all of these at once.

Read next: `kernels/triton/propose.py`, `kernels/triton/filters.py`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.triton.filters import cutoffs_of
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.norm import rms_norm
from nanovllm_edu.kernels.triton.pick import SampleScratch, pick
from nanovllm_edu.kernels.triton.propose import propose
from nanovllm_edu.layers.split import Ranks


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
    if is_filtered:
        sample(weights.scores(normed), inputs, is_filtered)
    else:
        logits = F.linear(normed, weights.head)
        sample(logits, inputs, is_filtered, weights.ranks, weights.first_token)


def sample(
    logits: Tensor,
    inputs: DecodeInputs,
    is_filtered: bool,
    ranks: Ranks | None = None,
    first_token: int = 0,
) -> None:
    """Draws a token for each of the first rows of `inputs`, and moves them on by it.

    Args:
        logits: `[R, V]`, of the whole vocabulary or of a rank's part.
        inputs: How to draw.
        is_filtered: Apply top-k, top-p and min-p, which needs the whole vocabulary.
        ranks: Who has the other parts; None: nobody.
        first_token: Of the first column.
    """
    cutoffs = None
    if is_filtered:
        cutoffs = cutoffs_of(
            logits, inputs.temperatures, inputs.top_ks, inputs.top_ps, inputs.min_ps
        )
    # A token's position is the number of tokens before it.
    best = propose(
        logits, inputs.seeds, inputs.temperatures, inputs.context_lens, cutoffs, first_token
    )
    pick(
        best_of_all(best, ranks),
        inputs.sampled,
        inputs.token_table,
        inputs.table_rows,
        inputs.context_lens,
        inputs.advances,
        launch_options(is_overlapped=False),
    )


def best_of_all(best: SampleScratch, ranks: Ranks | None) -> SampleScratch:
    """Each rank's best of each row, on all ranks; without ranks, what is given."""
    if ranks is None:
        return best
    scores, tiles = best.best_scores.max(1, keepdim=True)  # NaN if there is one
    tokens = best.best_tokens.gather(1, tiles)
    both = torch.cat((scores.view(torch.int32), tokens), 1)  # one message, not two
    parts = ranks.concatenate(both).unflatten(1, (ranks.num_ranks, 2))
    all_scores, all_tokens = parts.unbind(2)
    return SampleScratch(all_scores.contiguous().view(torch.float32), all_tokens.contiguous())
