"""Sampling from logits in memory: each tile of the vocabulary proposes its best token.

    logits [R, V]   ->   (score, token) of each row's tiles, of which `pick` takes the best

The second half of `lm_head.py`, for when the vocabulary product was the library's, or when top-k,
top-p or min-p must see a row before a token is drawn (`filters.py`): the same noise, the same two
stages, one more trip of the logits through memory.

Torch twin: `twins.py`, `sample`. Read next: `fused_decode.py`.
"""

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.kernels.decode_inputs import DecodeInputs
from nanovllm_edu.kernels.filters import cutoffs_of
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.lm_head import SampleScratch, noisy_scores, pick
from nanovllm_edu.kernels.norm import rms_norm
from nanovllm_edu.kernels.weights import ModelWeights

TOKENS_PER_TILE = 4096


@triton.jit(do_not_specialize=["num_tiles"])
def _propose_kernel(
    logits_ptr, cutoffs_ptr, best_scores_ptr, best_tokens_ptr,
    seeds_ptr, temperatures_ptr, positions_ptr,
    num_tiles, V: tl.constexpr, BLOCK: tl.constexpr, HAS_CUTOFFS: tl.constexpr,
):  # fmt: skip
    row, tile = tl.program_id(0), tl.program_id(1)
    rows = row + tl.arange(0, 1)
    tokens = tile * BLOCK + tl.arange(0, BLOCK)
    is_token = (tokens < V)[None, :]
    logits_ptr += row.to(tl.int64) * V
    logits = tl.load(logits_ptr + tokens[None, :], mask=is_token, other=float("-inf"))
    logits = logits.to(tl.float32)
    scores = noisy_scores(
        logits, rows, tokens, rows >= 0, seeds_ptr, temperatures_ptr, positions_ptr
    )
    if HAS_CUTOFFS:
        scores = tl.where(logits >= tl.load(cutoffs_ptr + rows)[:, None], scores, float("-inf"))
    # The largest, then who has it: cheaper than carrying the index through the reduction.
    best_scores = tl.max(scores, axis=1)
    is_best = scores == best_scores[:, None]
    best_tokens = tl.min(tl.where(is_best, tokens[None, :], V), axis=1)
    cells = rows * num_tiles + tile
    tl.store(best_scores_ptr + cells, best_scores)
    tl.store(best_tokens_ptr + cells, best_tokens)


def propose(
    logits: Tensor,
    seeds: Tensor,
    temperatures: Tensor,
    positions: Tensor,
    cutoffs: Tensor | None = None,
) -> SampleScratch:
    """The best of each vocabulary tile.

    Args:
        logits: `[R, V]`, contiguous.
        seeds: int64 [R].
        temperatures: float32 [R]; 0 is greedy.
        positions: [R], of the tokens to come.
        cutoffs: float32 [R], the smallest logit that may be drawn.
    """
    num_rows, vocab_size = logits.shape
    block = min(TOKENS_PER_TILE, triton.next_power_of_2(vocab_size))
    num_tiles = triton.cdiv(vocab_size, block)
    scratch = SampleScratch.of_tiles(num_rows, num_tiles, logits.device)
    _propose_kernel[(num_rows, num_tiles)](
        logits, cutoffs, scratch.best_scores, scratch.best_tokens, seeds, temperatures, positions,
        num_tiles, V=vocab_size, BLOCK=block, HAS_CUTOFFS=cutoffs is not None, num_warps=4,
    )  # fmt: skip
    return scratch


def sample_from(
    stream: Tensor, weights: ModelWeights, inputs: DecodeInputs, is_filtered: bool
) -> None:
    """The last norm, the library's vocabulary product, and `sample`.

    Args:
        stream: The residual stream after the last layer, `[R, hidden]`.
        weights: The model's.
        inputs: Their first R rows are drawn for, and moved on.
        is_filtered: Apply top-k, top-p and min-p.
    """
    normed = rms_norm(stream, weights.final_norm, weights.eps)
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
