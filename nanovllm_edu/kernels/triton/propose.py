"""Sampling from logits in memory: each tile of the vocabulary proposes its best token.

    logits [R, V]   ->   (score, token) of each row's tiles, of which `pick` takes the best

The second half of `lm_head.py`, for when the vocabulary GEMM was the library's, or when top-k,
top-p or min-p must see a row before a token is drawn (`filters.py`): the same noise, the same two
stages, one more trip of the logits through memory.

`reference` gives the scores, whose largest is the token. Read next: `pick.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.kernels.triton.filters import TOKENS_PER_TILE
from nanovllm_edu.kernels.triton.lm_head import noisy_scores
from nanovllm_edu.kernels.triton.pick import SampleScratch, max_or_nan, nan_if_infinite
from nanovllm_edu.sampling.random import gumbel_noise


@triton.jit(do_not_specialize=["num_tiles", "first"])
def _propose_kernel(
    logits_ptr, cutoffs_ptr, best_scores_ptr, best_tokens_ptr,
    seeds_ptr, temperatures_ptr, positions_ptr,
    num_tiles, first, V: tl.constexpr, BLOCK: tl.constexpr, HAS_CUTOFFS: tl.constexpr,
):  # fmt: skip
    """One row and one tile of the vocabulary: noise, cut-off, and the best of the tile."""
    row, tile = tl.program_id(0), tl.program_id(1)
    rows = row + tl.arange(0, 1)
    tokens = tile * BLOCK + tl.arange(0, BLOCK)
    is_token = (tokens < V)[None, :]
    logits_ptr += row.to(tl.int64) * V
    logits = tl.load(logits_ptr + tokens[None, :], mask=is_token, other=float("-inf"))
    logits = tl.where(is_token, nan_if_infinite(logits.to(tl.float32)), float("-inf"))
    scores = noisy_scores(
        logits, rows, first + tokens, rows >= 0, seeds_ptr, temperatures_ptr, positions_ptr
    )
    if HAS_CUTOFFS:
        # Not "keep what is at least": a NaN is neither less nor more, and must be seen.
        scores = tl.where(logits < tl.load(cutoffs_ptr + rows)[:, None], float("-inf"), scores)
    # The largest, then who has it: cheaper than carrying the index through the reduction.
    best_scores = max_or_nan(scores, 1)
    is_best = scores == best_scores[:, None]
    best_tokens = tl.min(tl.where(is_best, tokens[None, :], V), axis=1)
    cells = rows * num_tiles + tile
    tl.store(best_scores_ptr + cells, best_scores)
    tl.store(best_tokens_ptr + cells, first + best_tokens)


def propose(
    logits: Tensor,
    seeds: Tensor,
    temperatures: Tensor,
    positions: Tensor,
    cutoffs: Tensor | None = None,
    first: int = 0,
) -> SampleScratch:
    """The best of each vocabulary tile.

    Args:
        logits: `[R, V]`, contiguous.
        seeds: int64 [R].
        temperatures: float32 [R]; 0 is greedy.
        positions: [R], of the tokens to come.
        cutoffs: float32 [R], the smallest logit that may be drawn.
        first: The token of the first column.
    """
    num_rows, vocab_size = logits.shape
    block = min(TOKENS_PER_TILE, triton.next_power_of_2(vocab_size))
    num_tiles = triton.cdiv(vocab_size, block)
    scratch = SampleScratch.of_tiles(num_rows, num_tiles, logits.device)
    _propose_kernel[(num_rows, num_tiles)](
        logits, cutoffs, scratch.best_scores, scratch.best_tokens, seeds, temperatures, positions,
        num_tiles, first, V=vocab_size, BLOCK=block, HAS_CUTOFFS=cutoffs is not None, num_warps=4,
    )  # fmt: skip
    return scratch


def reference(
    logits: Float[Tensor, "rows vocab"],
    seeds: Int[Tensor, " rows"],
    positions: Int[Tensor, " rows"],
    temperatures: Float[Tensor, " rows"],
) -> Float[Tensor, "rows vocab"]:
    """What sampling takes the maximum of: scores. Their argmax is the token."""
    is_random = (temperatures > 0)[:, None]
    divisors = torch.where(temperatures > 0, temperatures, 1.0)[:, None]
    return logits / divisors + is_random * gumbel_noise(seeds, positions, logits.shape[1])
