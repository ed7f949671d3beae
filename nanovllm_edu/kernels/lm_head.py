"""The vocabulary product and the sampling, in one pass over the embedding matrix.

    x [M, K], a `Stream`     w [V, K]     ->     one token per row, never [M, V] logits in memory

Sampling from softmax(logits / temperature) is taking the largest of `logits / temperature + noise`
with Gumbel noise (the Gumbel-max trick), and a maximum can be taken in two stages:

    head kernel    each tile of the vocabulary: product, noise, its best (value, token)
    pick kernel    each row: the best of its tiles

The pick kernel then does what is left of the step: it writes the token where the next step's
`embed` reads it, and lengthens the sequence by one. It is the only kernel of a step that changes
what the others read without waiting (see `launch.py`), and it comes last.

Temperature 0 leaves the noise out. Where the product is the library's: `sampling.py`.

Torch twin: `twins.py`, `sample`. Read next: `fused_decode.py`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.launch import allow_successor, wait_for_predecessor
from nanovllm_edu.kernels.matmul import Tiles, product
from nanovllm_edu.kernels.projections import Stream, inverse_rms
from nanovllm_edu.kernels.random import gumbel_noise


@triton.jit
def noisy_scores(logits, rows, tokens, is_row, seeds_ptr, temperatures_ptr, positions_ptr):
    """What to take the maximum of: float32 [M, N]. The token to come has position `positions`."""
    temperatures = tl.load(temperatures_ptr + rows, mask=is_row, other=0.0)
    seeds = tl.load(seeds_ptr + rows, mask=is_row, other=0)
    positions = tl.load(positions_ptr + rows, mask=is_row, other=0)
    is_random = (temperatures > 0)[:, None]
    factors = 1.0 / tl.where(temperatures > 0, temperatures, 1.0)[:, None]
    noise = gumbel_noise(seeds, positions, tokens)
    return logits * factors + tl.where(is_random, noise, 0.0)


@triton.jit(do_not_specialize=["num_rows", "num_tiles"])
def _head_kernel(
    x_ptr, squares_ptr, w_ptr, best_scores_ptr, best_tokens_ptr,
    seeds_ptr, temperatures_ptr, positions_ptr, num_rows, num_tiles, eps,
    V: tl.constexpr, K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, LANES: tl.constexpr,
    IS_ONE_STEP: tl.constexpr, IS_WHOLE: tl.constexpr, NUM_STAGES: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)  # row tiles side by side share w
    tile = tl.program_id(1)
    tokens = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    columns = tl.minimum(tokens, V - 1)

    acc = product(
        x_ptr, w_ptr, rows, columns, num_rows, 0, K,
        K, BLOCK_M, BLOCK_N, BLOCK_K, LANES, IS_ONE_STEP, IS_WHOLE,
        NUM_STAGES, OVERLAP,
    )  # fmt: skip
    logits = acc * inverse_rms(squares_ptr, rows, num_rows, eps, K, PARTS, BLOCK_PARTS)[:, None]
    is_row = rows < num_rows
    scores = noisy_scores(logits, rows, tokens, is_row, seeds_ptr, temperatures_ptr, positions_ptr)
    scores = tl.where((tokens < V)[None, :], scores, float("-inf"))
    best_scores, best_columns = tl.max(scores, axis=1, return_indices=True)
    tl.store(best_scores_ptr + rows * num_tiles + tile, best_scores, mask=is_row)
    best_tokens = tile * BLOCK_N + best_columns
    tl.store(best_tokens_ptr + rows * num_tiles + tile, best_tokens, mask=is_row)


@triton.jit(do_not_specialize=["num_tiles", "table_stride"])
def _pick_kernel(
    best_scores_ptr, best_tokens_ptr, out_ptr, token_table_ptr, table_rows_ptr, context_lens_ptr,
    advances_ptr, num_tiles, table_stride, BLOCK: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    allow_successor(OVERLAP)
    wait_for_predecessor(OVERLAP)
    row = tl.program_id(0)
    tiles = tl.arange(0, BLOCK)
    cells = row * num_tiles + tiles
    scores = tl.load(best_scores_ptr + cells, mask=tiles < num_tiles, other=float("-inf"))
    token = tl.load(best_tokens_ptr + row * num_tiles + tl.argmax(scores, axis=0))
    tl.store(out_ptr + row, token.to(tl.int64))
    length = tl.load(context_lens_ptr + row)
    table_row = tl.load(table_rows_ptr + row).to(tl.int64)
    tl.store(token_table_ptr + table_row * table_stride + length, token.to(tl.int64))
    tl.store(context_lens_ptr + row, length + tl.load(advances_ptr + row))


@dataclass(frozen=True)
class SampleScratch:
    """Each vocabulary tile's best: float32 and int32 [M, tiles]."""

    best_scores: Tensor
    best_tokens: Tensor

    @classmethod
    def allocate(
        cls, num_rows: int, vocab_size: int, tiles: Tiles, device: torch.device
    ) -> "SampleScratch":
        """Uninitialised memory for the tiles of the `head` kernel."""
        return cls.of_tiles(num_rows, triton.cdiv(vocab_size, tiles.n), device)

    @classmethod
    def of_tiles(cls, num_rows: int, num_tiles: int, device: torch.device) -> "SampleScratch":
        """Uninitialised memory."""
        shape = (num_rows, num_tiles)
        return cls(
            torch.empty(shape, dtype=torch.float32, device=device),
            torch.empty(shape, dtype=torch.int32, device=device),
        )


def head(
    stream: Stream,
    w: Tensor,
    scratch: SampleScratch,
    seeds: Tensor,
    temperatures: Tensor,
    positions: Tensor,
    eps: float,
    tiles: Tiles,
    options: dict[str, object],
) -> None:
    """The best of each vocabulary tile. `positions` are those of the tokens to come."""
    num_rows, hidden = stream.weighted.shape
    num_parts = stream.squares.shape[1]
    num_tiles = scratch.best_scores.shape[1]
    assert tiles.splits == 1
    assert hidden == w.shape[1]
    _head_kernel[(triton.cdiv(num_rows, tiles.m), num_tiles)](
        stream.weighted, stream.squares, w, scratch.best_scores, scratch.best_tokens,
        seeds, temperatures, positions, num_rows, num_tiles, eps,
        V=w.shape[0], PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(num_parts),
        K=hidden, **tiles.as_constants(hidden), **options,
    )  # fmt: skip


def pick(
    scratch: SampleScratch,
    out: Tensor,
    token_table: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    advances: Tensor,
    options: dict[str, object],
) -> None:
    """Each row's token: to `out`, to the token table, and one more token of context."""
    num_rows, num_tiles = scratch.best_scores.shape
    _pick_kernel[(num_rows,)](
        scratch.best_scores, scratch.best_tokens, out, token_table, table_rows, context_lens,
        advances, num_tiles, token_table.stride(0), BLOCK=triton.next_power_of_2(num_tiles),
        num_warps=8, **options,
    )  # fmt: skip
