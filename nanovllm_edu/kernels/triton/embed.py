"""A decode step's first kernel: look the newest tokens up and start the residual stream.

    token_table [slots, length]   embedding [V, K]   ->   residual stream of M rows

Which token a row continues with is found on the device: row r is row `table_rows[r]` of the token
table, and its newest token sits at `context_lens[r] - 1`. The last step's final kernel put it
there, so the host need not know it.

Where several GPUs share the vocabulary, each looks up the tokens that it has and leaves zeros for
the others; a sum over all of them follows.

`reference` is an embedding lookup. Read next: `residual.py`.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.kernels.triton.launch import allow_successor, wait_for_predecessor


@triton.jit
def _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride):
    """The newest token of this program's row."""
    newest = tl.load(context_lens_ptr + tl.program_id(0)) - 1
    table_row = tl.load(table_rows_ptr + tl.program_id(0)).to(tl.int64)
    return tl.load(token_table_ptr + table_row * table_stride + newest).to(tl.int64)


@triton.jit(do_not_specialize=["table_stride", "first", "num_tokens"])
def _embed_kernel(
    token_table_ptr, table_rows_ptr, context_lens_ptr, embedding_ptr, residual_ptr, squares_ptr,
    table_stride, first, num_tokens,
    K: tl.constexpr, BLOCK_K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One row: its newest token's embedding, and with PARTS > 0 the sum of its squares."""
    # In this order, unlike everywhere else: later kernels of a step read the lengths without
    # waiting, so none of them may come in before the last step's `pick` has changed them.
    wait_for_predecessor(OVERLAP)
    allow_successor(OVERLAP)
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK_K)
    mask = columns < K
    token = _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride) - first
    is_here = (token >= 0) & (token < num_tokens)
    row_of_token = tl.where(is_here, token, 0)
    x = tl.load(embedding_ptr + row_of_token * K + columns, mask=mask, other=0.0)
    x = tl.where(is_here, x, 0.0)
    tl.store(residual_ptr + row * K + columns, x, mask=mask)
    if PARTS > 0:
        # Products leave the sum of squares in parts, one per tile; here the first part is all.
        x = x.to(tl.float32)
        parts = tl.arange(0, BLOCK_PARTS)
        squares = tl.where(parts == 0, tl.sum(x * x, axis=0), 0.0)
        tl.store(squares_ptr + row * PARTS + parts, squares, mask=parts < PARTS)


def embed(
    token_table: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    embedding: Tensor,
    residual: Tensor,
    squares: Tensor | None,
    options: dict[str, object],
    first: int = 0,
) -> None:
    """Fill `residual` with the embeddings of each row's newest token, and `squares` if given.

    The embedding's rows are those of the tokens from `first` on; others get zeros.
    """
    num_rows, hidden = residual.shape
    num_parts = 0 if squares is None else squares.shape[1]
    _embed_kernel[(num_rows,)](
        token_table, table_rows, context_lens, embedding, residual, squares, token_table.stride(0),
        first, len(embedding), K=hidden, BLOCK_K=triton.next_power_of_2(hidden),
        PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(max(num_parts, 1)), num_warps=4,
        **options,
    )  # fmt: skip


def reference(
    token_table: Int[Tensor, "table_rows length"],
    table_rows: Int[Tensor, " rows"],
    context_lens: Int[Tensor, " rows"],
    embedding: Float[Tensor, "vocab hidden"],
) -> Float[Tensor, "rows hidden"]:
    """What `residual` is filled with: each row's newest token, looked up."""
    return embedding[token_table[table_rows, context_lens.long() - 1]]
