"""A decode step's first kernel: look the newest tokens up and start the residual stream.

    token_table [slots, length]   embedding [V, K]   ->   `Stream` or `Start` of M rows

Which token a row continues with is found on the device: row r is row `table_rows[r]` of the token
table, and its newest token sits at `context_lens[r] - 1`. The last step's final kernel put it
there, so the host need not know it.

A `Stream` leaves the norm's division to the products (`projections.py`); a `Start` is normalised,
and also says where each row's key and value will go, for kernels that are not ours to change.

Torch twin: `twins.py`, `embed` and `start`. Read next: `projections.py`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from nanovllm_edu.kernels.launch import allow_successor, wait_for_predecessor
from nanovllm_edu.kernels.projections import Stream


@triton.jit
def _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride):
    """This program's row: its position, its row of the tables, and its newest token."""
    newest = tl.load(context_lens_ptr + tl.program_id(0)) - 1
    table_row = tl.load(table_rows_ptr + tl.program_id(0)).to(tl.int64)
    token = tl.load(token_table_ptr + table_row * table_stride + newest).to(tl.int64)
    return newest, table_row, token


@triton.jit(do_not_specialize=["table_stride"])
def _embed_kernel(
    token_table_ptr, table_rows_ptr, context_lens_ptr, embedding_ptr, norm_weight_ptr,
    residual_ptr, weighted_ptr, squares_ptr, table_stride,
    K: tl.constexpr, BLOCK_K: tl.constexpr, PARTS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    # In this order, unlike everywhere else: later kernels of a step read the lengths without waiting
    # so none of them may come in before the last step's `pick` has changed them.
    wait_for_predecessor(OVERLAP)
    allow_successor(OVERLAP)
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK_K)
    mask = columns < K
    _, _, token = _newest_token(token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride)
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


@triton.jit(do_not_specialize=["table_stride", "blocks_stride"])
def _start_kernel(
    token_table_ptr, block_tables_ptr, table_rows_ptr, context_lens_ptr, embedding_ptr,
    norm_weight_ptr, residual_ptr, normed_ptr, positions_ptr, slot_mapping_ptr,
    table_stride, blocks_stride, eps, K: tl.constexpr, BLOCK_K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    newest, table_row, token = _newest_token(
        token_table_ptr, table_rows_ptr, context_lens_ptr, table_stride
    )
    block = tl.load(block_tables_ptr + table_row * blocks_stride + newest // B).to(tl.int64)
    tl.store(positions_ptr + row, newest.to(tl.int64))
    tl.store(slot_mapping_ptr + row, block * B + newest % B)
    columns = tl.arange(0, BLOCK_K)
    mask = columns < K
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


@dataclass(frozen=True)
class Start:
    """What the first layer of a step of M rows needs.

    Attributes:
        residual: [M, hidden]
        normed: [M, hidden]
        positions: int64 [M], of the newest tokens.
        slot_mapping: int64 [M], where their keys and values go.
    """

    residual: Tensor
    normed: Tensor
    positions: Tensor
    slot_mapping: Tensor


def start(
    token_table: Tensor,
    block_tables: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    embedding: Tensor,
    norm_weight: Tensor,
    block_size: int,
    eps: float,
) -> Start:
    """Embed and normalise each row's newest token, and find its place in the cache."""
    num_rows, hidden = len(table_rows), embedding.shape[1]
    like = {"dtype": embedding.dtype, "device": embedding.device}
    result = Start(
        torch.empty(num_rows, hidden, **like),
        torch.empty(num_rows, hidden, **like),
        torch.empty(num_rows, dtype=torch.int64, device=embedding.device),
        torch.empty(num_rows, dtype=torch.int64, device=embedding.device),
    )
    _start_kernel[(num_rows,)](
        token_table, block_tables, table_rows, context_lens, embedding, norm_weight,
        result.residual, result.normed, result.positions, result.slot_mapping,
        token_table.stride(0), block_tables.stride(0), eps,
        K=hidden, BLOCK_K=triton.next_power_of_2(hidden), B=block_size, num_warps=4,
    )  # fmt: skip
    return result
