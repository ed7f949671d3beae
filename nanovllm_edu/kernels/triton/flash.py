"""The online softmax over a paged cache: the loop at the heart of every attention kernel here.

Attention of a few query rows needs sum(exp(s) v) / sum(exp(s)) over all keys. A row's state is

    highest   the largest score so far       total   sum of exp(score - highest)
    acc       sum of exp(score - highest) * value

and a tile of keys updates it in place, so scores never go to memory. A "query row" is one query
head of one token; the G query heads that share a key-value head are rows of the same tile, so each
key is read once for all of them and the matrix units have more than one row to work on.

A kernel walks a block table like this: token t of a sequence lies in physical block
`table[t // B]` at offset `t % B`, so its row in the cache is `table[t // B] * B + t % B`.

Scores are kept in units of log 2 (`scale` contains log2 e), because the hardware computes exp2.

Source: FlashAttention (Dao et al., 2022); PagedAttention (Kwon et al., 2023).

Read next: `paged_decode.py`, `paged_prefill.py`.
"""

import triton
import triton.language as tl

LOG2_E = 1.4426950408889634


@triton.jit
def empty_state(M: tl.constexpr, D: tl.constexpr):
    """State of M rows that have seen no key."""
    highest = tl.full([M], float("-inf"), tl.float32)
    return highest, tl.zeros([M], tl.float32), tl.zeros([M, D], tl.float32)


@triton.jit
def cache_rows(table_ptr, tokens, is_cached, B: tl.constexpr):
    """Rows of the cache that hold some tokens: int64 [TILE]."""
    block_ids = tl.load(table_ptr + tokens // B, mask=is_cached, other=0).to(tl.int64)
    return block_ids * B + tokens % B


@triton.jit
def row_shift(table_ptr, token, B: tl.constexpr):
    """What to add to a token's index to get its row, valid within the block of `token`."""
    block = token // B
    return (tl.load(table_ptr + block).to(tl.int64) - block) * B


@triton.jit
def attend_cached(
    q, highest, total, acc, positions, k_ptr, v_ptr, table_ptr, begin, end, scale,
    ROW_STRIDE: tl.constexpr, B: tl.constexpr, D: tl.constexpr, TILE: tl.constexpr,
    IS_CAUSAL: tl.constexpr, NUM_STAGES: tl.constexpr,
):  # fmt: skip
    """Update the state of rows q [M, D] with cached tokens [begin, end).

    `begin` is a multiple of TILE. `k_ptr` and `v_ptr` point at this key-value head of row 0. With
    IS_CAUSAL a row sees the tokens up to its own `positions` [M]; without, all of them.
    If each tile lies in one block, the next tile's lookup is made a step ahead: a load whose
    address comes from another load of the same step costs the pipeline twice the stages.
    """
    IS_TILE_IN_BLOCK: tl.constexpr = B % TILE == 0
    if IS_TILE_IN_BLOCK:
        shift = row_shift(table_ptr, tl.maximum(tl.minimum(begin, end - 1), 0), B)
    for first in tl.range(begin, end, TILE, num_stages=NUM_STAGES):
        tokens = first + tl.arange(0, TILE)
        is_cached = tokens < end
        if IS_TILE_IN_BLOCK:
            rows = shift + tokens
            shift = row_shift(table_ptr, tl.minimum(first + TILE, end - 1), B)
        else:
            rows = cache_rows(table_ptr, tokens, is_cached, B)
        rows *= ROW_STRIDE
        k, v = load_tile(k_ptr, v_ptr, rows, is_cached, D)
        is_visible = is_cached[None, :]
        if IS_CAUSAL:
            is_visible = is_visible & (tokens[None, :] <= positions[:, None])
        highest, total, acc = update(q, k, v, is_visible, highest, total, acc, scale)
    return highest, total, acc


@triton.jit
def load_tile(k_ptr, v_ptr, rows, is_cached, D: tl.constexpr):
    """Keys [D, TILE] and values [TILE, D] at `rows`, in elements from the two pointers."""
    dims = tl.arange(0, D)
    k = tl.load(k_ptr + rows[None, :] + dims[:, None], mask=is_cached[None, :], other=0.0)
    # Values outside are zeroed too: 0 * garbage may be NaN.
    v = tl.load(v_ptr + rows[:, None] + dims[None, :], mask=is_cached[:, None], other=0.0)
    return k, v


@triton.jit
def update(q, k, v, is_visible, highest, total, acc, scale):
    """The state once a tile of keys and values has been seen."""
    scores = tl.dot(q, k, input_precision="ieee") * scale
    scores = tl.where(is_visible, scores, float("-inf"))
    new_highest = tl.maximum(highest, tl.max(scores, axis=1))
    correction = tl.exp2(highest - new_highest)
    weights = tl.exp2(scores - new_highest[:, None])
    total = total * correction + tl.sum(weights, axis=1)
    acc = tl.dot(weights.to(v.dtype), v, acc * correction[:, None], input_precision="ieee")
    return new_highest, total, acc
