"""A decode step's first kernel: look the newest tokens up and start the residual stream.

    token_table [slots, length]   embedding [V, K]   ->   residual stream of M rows

Which token a row continues with is found on the device: row r is row `table_rows[r]` of the token
table, and its newest token sits at `context_lens[r] - 1`. The last step's final kernel put it
there, so the host need not know it.

A `Stream` leaves the first norm's division to our products (`projections.py`). The library's
products want it done: `embed_normed`.

Torch twin: `twins.py`, `embed`. Read next: `projections.py`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.launch import allow_successor, wait_for_predecessor
from nanovllm_edu.kernels.projections import Stream


@triton.jit
def _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride):
    """The newest token of this program's row."""
    newest = tl.load(context_lens_ptr + tl.program_id(0)) - 1
    table_row = tl.load(table_rows_ptr + tl.program_id(0)).to(tl.int64)
    return tl.load(token_table_ptr + table_row * table_stride + newest).to(tl.int64)


@triton.jit(do_not_specialize=["table_stride"])
def _embed_kernel(
    token_table_ptr, table_rows_ptr, context_lens_ptr, embedding_ptr, norm_weight_ptr,
    residual_ptr, weighted_ptr, squares_ptr, table_stride,
    K: tl.constexpr, BLOCK_K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    # In this order, unlike everywhere else: later kernels of a step read the lengths without
    # waiting, so none of them may come in before the last step's `pick` has changed them.
    wait_for_predecessor(OVERLAP)
    allow_successor(OVERLAP)
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK_K)
    mask = columns < K
    token = _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride)
    x = tl.load(embedding_ptr + token * K + columns, mask=mask, other=0.0)
    tl.store(residual_ptr + row * K + columns, x, mask=mask)
    x = x.to(tl.float32)
    weight = tl.load(norm_weight_ptr + columns, mask=mask, other=0.0).to(tl.float32)
    tl.store(
        weighted_ptr + row * K + columns, (x * weight).to(weighted_ptr.dtype.element_ty), mask=mask
    )
    # The products sum their rows' squares tile by tile; here one part holds all, the others none.
    parts = tl.arange(0, BLOCK_PARTS)
    squares = tl.where(parts == 0, tl.sum(x * x, axis=0), 0.0)
    tl.store(squares_ptr + row * PARTS + parts, squares, mask=parts < PARTS)


@triton.jit(do_not_specialize=["table_stride"])
def _embed_normed_kernel(
    token_table_ptr, table_rows_ptr, context_lens_ptr, embedding_ptr, norm_weight_ptr,
    residual_ptr, normed_ptr, table_stride, eps, K: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK_K)
    mask = columns < K
    token = _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride)
    x = tl.load(embedding_ptr + token * K + columns, mask=mask, other=0.0)
    tl.store(residual_ptr + row * K + columns, x, mask=mask)
    x = x.to(tl.float32)
    weight = tl.load(norm_weight_ptr + columns, mask=mask, other=0.0).to(tl.float32)
    normed = x * tl.rsqrt(tl.sum(x * x, axis=0) / K + eps) * weight
    tl.store(normed_ptr + row * K + columns, normed.to(normed_ptr.dtype.element_ty), mask=mask)


def embed(
    token_table: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    embedding: Tensor,
    norm_weight: Tensor,
    stream: Stream,
    options: dict[str, object],
) -> None:
    """Fill `stream` with the embeddings of each row's newest token."""
    num_rows, hidden = stream.residual.shape
    num_parts = stream.squares.shape[1]
    _embed_kernel[(num_rows,)](
        token_table, table_rows, context_lens, embedding, norm_weight,
        stream.residual, stream.weighted, stream.squares, token_table.stride(0),
        K=hidden, BLOCK_K=triton.next_power_of_2(hidden),
        PARTS=num_parts, BLOCK_PARTS=triton.next_power_of_2(num_parts), num_warps=4, **options,
    )  # fmt: skip


def embed_normed(
    token_table: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    embedding: Tensor,
    norm_weight: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Return `(norm(x), x)` of the embeddings x `[M, hidden]` of each row's newest token."""
    num_rows, hidden = len(table_rows), embedding.shape[1]
    normed, residual = (
        torch.empty(num_rows, hidden, dtype=embedding.dtype, device=embedding.device)
        for _ in range(2)
    )
    _embed_normed_kernel[(num_rows,)](
        token_table, table_rows, context_lens, embedding, norm_weight,
        residual, normed, token_table.stride(0), eps,
        K=hidden, BLOCK_K=triton.next_power_of_2(hidden), num_warps=4,
    )  # fmt: skip
    return normed, residual
