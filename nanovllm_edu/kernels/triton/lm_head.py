"""The vocabulary GEMM and the sampling, in one pass over the embedding matrix.

    x [M, K], a `Residual`    w [V, K]     ->     one token per row, never [M, V] logits in memory

Sampling from softmax(logits / temperature) is taking the largest of `logits / temperature + noise`
with Gumbel noise (the Gumbel-max trick), and a maximum can be taken in two stages:

    head kernel    each tile of the vocabulary: GEMM, noise, its best (value, token)
    pick kernel    each row: the best of its tiles

The pick kernel then does what is left of the step: it writes the token where the next step's
`embed` reads it, and lengthens the sequence by one. It is the only kernel of a step that changes
what the others read without waiting (see `launch.py`), and it comes last.

Temperature 0 leaves the noise out. Where the GEMM is the library's: `propose.py`, whose `reference`
says what is sampled.

Read next: `pick.py`.
"""

import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.triton.gemm import Tiles, gemm
from nanovllm_edu.kernels.triton.pick import SampleScratch, max_or_nan, nan_if_infinite
from nanovllm_edu.kernels.triton.random import gumbel_noise
from nanovllm_edu.kernels.triton.residual import Residual, inverse_rms
from nanovllm_edu.sampling.tensors import TINIEST_TEMPERATURE

_TINIEST = tl.constexpr(TINIEST_TEMPERATURE)


@triton.jit
def noisy_scores(logits, rows, tokens, is_row, seeds_ptr, temperatures_ptr, positions_ptr):
    """What to take the maximum of: float32 [M, N]. The token to come has position `positions`."""
    temperatures = tl.load(temperatures_ptr + rows, mask=is_row, other=0.0)
    seeds = tl.load(seeds_ptr + rows, mask=is_row, other=0)
    positions = tl.load(positions_ptr + rows, mask=is_row, other=0)
    is_random = (temperatures > 0)[:, None]
    factors = 1.0 / tl.where(temperatures > 0, tl.maximum(temperatures, _TINIEST), 1.0)[:, None]
    noise = gumbel_noise(seeds, positions, tokens)
    return logits * factors + tl.where(is_random, noise, 0.0)


@triton.jit(do_not_specialize=["num_rows", "num_tiles", "first"])
def _head_kernel(
    x_ptr, squares_ptr, w_ptr, best_scores_ptr, best_tokens_ptr,
    seeds_ptr, temperatures_ptr, positions_ptr, num_rows, num_tiles, first, eps,
    V: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """Some rows and one tile of the vocabulary: logits, noise, and the best of the tile."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)  # row tiles side by side share w
    tile = tl.program_id(1)
    tokens = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    columns = tl.minimum(tokens, V - 1)

    acc = gemm(
        x_ptr, w_ptr, rows, columns, num_rows, 0, K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    logits = acc * inverse_rms(squares_ptr, rows, num_rows, eps, K, PARTS, BLOCK_PARTS)[:, None]
    logits = nan_if_infinite(logits)
    is_row = rows < num_rows
    scores = noisy_scores(
        logits, rows, first + tokens, is_row, seeds_ptr, temperatures_ptr, positions_ptr
    )
    scores = tl.where((tokens < V)[None, :], scores, float("-inf"))
    best_scores = max_or_nan(scores, 1)
    best_columns = tl.argmax(scores, axis=1)
    tl.store(best_scores_ptr + rows * num_tiles + tile, best_scores, mask=is_row)
    best_tokens = first + tile * BLOCK_N + best_columns
    tl.store(best_tokens_ptr + rows * num_tiles + tile, best_tokens, mask=is_row)


def head(
    residual: Residual,
    w: Tensor,
    scratch: SampleScratch,
    seeds: Tensor,
    temperatures: Tensor,
    positions: Tensor,
    eps: float,
    tiles: Tiles,
    options: dict[str, object],
    first: int = 0,
) -> None:
    """The best of each vocabulary tile.

    `positions` are those of the tokens to come; the first row of `w` is that of token `first`.
    """
    num_rows, hidden = residual.weighted.shape
    num_parts = residual.squares.shape[1]
    num_tiles = scratch.best_scores.shape[1]
    assert tiles.splits == 1
    assert hidden == w.shape[1]
    _head_kernel[(triton.cdiv(num_rows, tiles.m), num_tiles)](
        residual.weighted, residual.squares, w, scratch.best_scores, scratch.best_tokens,
        seeds, temperatures, positions, num_rows, num_tiles, first, eps,
        V=w.shape[0], PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(num_parts),
        K=hidden, **tiles.as_constants(hidden), **options,
    )  # fmt: skip
