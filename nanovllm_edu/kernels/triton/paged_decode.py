"""Attention of one query token per sequence: a decode step's largest reader of memory.

    q [S, H, D]   or   qkv [S, (H + 2 KH) D] straight from the projection (`IS_FUSED`)
    cache [blocks, B, KH, D] of keys and of values      tables [slots, blocks of a sequence]

Nothing is computed here to speak of: the time is that of streaming the cache. Two things decide how
close it comes to the memory's speed.

*Enough programs, of like size.* With many sequences a program takes a whole sequence and key-value
head, the longest first. With few, sequences are cut into chunks, so that all multiprocessors have
work and no long sequence is left running alone at the end. A chunk has at least `chunk` tokens, and
a sequence at most `max_chunks` of them:

    sequence 0   |--------|--------|---|        programs (0, 0) (0, 1) (0, 2)
    sequence 1   |--|                                    (1, 0)             and (1, 1), which leaves
    sequence 2   |--------|------|                       (2, 0) (2, 1)

The grid does not depend on the lengths, which are read on the device: one CUDA graph serves every
step. Where a chunk begins depends on its own sequence only, so a result does not depend on which
other sequences are in the batch. A chunk's first tile is loaded before the kernel that makes the
queries has ended.

*The last one to arrive combines.* A chunk's partial result goes to memory, and a counter says how
many of a sequence's chunks are done. Whoever completes it adds the partial results up, in order of
the chunks, so that the sum is the same in every run. No second kernel is needed.

With `IS_FUSED` a program also normalises and rotates its queries, and the one whose chunk holds the
newest token makes that token's key, stores key and value, and uses both from registers: nobody else
reads them in this kernel, so there is no race. If the projection was made of rows that were not
divided by their rms (`fused_decode/layer_gemms.py`), it does that too.

Source: flash-decoding (Dao et al., 2023).

Reference: `attention/reference.py`, and `reference` here for the fused form. Read next: `gemm.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.attention.reference import attend_one, gather
from nanovllm_edu.kernels.triton.decode_operands import DecodeWorkspace, NewTokens
from nanovllm_edu.kernels.triton.flash import (
    attend_cached,
    cache_rows,
    empty_state,
    load_tile,
    update,
)
from nanovllm_edu.kernels.triton.launch import allow_successor, wait_for_predecessor
from nanovllm_edu.kernels.triton.norm import inverse_rms_of
from nanovllm_edu.kernels.triton.rope import rotated_heads
from nanovllm_edu.layers.ops import TorchOps

REGISTERS = 2048
"""Numbers of partial results that are added up at once: more do not fit into registers."""


@triton.jit
def _combine_chunks(
    partial_ptr, stats_ptr, num_chunks,
    G: tl.constexpr, D: tl.constexpr, BLOCK_GD: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """The sum of a sequence's partial results, in order of its chunks: float32 [G * D]."""
    columns = tl.arange(0, BLOCK_GD)
    is_column = columns < G * D
    highest = tl.full([BLOCK_GD], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_GD], tl.float32)
    acc = tl.zeros([BLOCK_GD], tl.float32)
    for first in range(0, num_chunks, AT_ONCE):
        chunks = first + tl.arange(0, AT_ONCE)
        mask = (chunks < num_chunks)[:, None] & is_column[None, :]
        # .cg: other programs wrote these lines; never look in this processor's own cache.
        stats = stats_ptr + chunks[:, None] * (2 * G) + (columns // D)[None, :]
        highests = tl.load(stats, mask=mask, other=float("-inf"), cache_modifier=".cg")
        totals = tl.load(stats + G, mask=mask, other=0.0, cache_modifier=".cg")
        accs = tl.load(
            partial_ptr + chunks[:, None] * (G * D) + columns[None, :],
            mask=mask, other=0.0, cache_modifier=".cg",
        )  # fmt: skip
        new_highest = tl.maximum(highest, tl.max(highests, axis=0))
        new_highest = tl.where(is_column, new_highest, 0.0)
        correction = tl.exp2(highest - new_highest)
        weights = tl.exp2(highests - new_highest[None, :])
        total = total * correction + tl.sum(totals * weights, axis=0)
        acc = acc * correction + tl.sum(accs * weights, axis=0)
        highest = new_highest
    return acc / tl.where(is_column, total, 1.0)


@triton.jit
def chunk_length(length, CHUNK: tl.constexpr, MAX_CHUNKS: tl.constexpr, TILE: tl.constexpr):
    """Tokens of a sequence's chunks: CHUNK, or more whole tiles if there would be too many."""
    return tl.maximum(tl.cdiv(length, MAX_CHUNKS * TILE) * TILE, CHUNK)


@triton.jit(do_not_specialize=["table_stride", "max_chunks"])
def _decode_kernel(
    q_ptr, residual_ptr, bias_ptr, q_weight_ptr, k_weight_ptr, cos_sin_ptr,
    k_cache_ptr, v_cache_ptr, out_ptr,
    tables_ptr, table_rows_ptr, context_lens_ptr, partial_ptr, stats_ptr, arrivals_ptr,
    q_stride, table_stride, max_chunks, scale, eps,
    KH: tl.constexpr, G: tl.constexpr, D: tl.constexpr, B: tl.constexpr,
    M: tl.constexpr, BLOCK_GD: tl.constexpr, AT_ONCE: tl.constexpr,
    HIDDEN: tl.constexpr, BLOCK_HIDDEN: tl.constexpr,
    CHUNK: tl.constexpr, MAX_CHUNKS: tl.constexpr, TILE: tl.constexpr, NUM_STAGES: tl.constexpr,
    IS_FUSED: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_QK_NORM: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One sequence, or a chunk of it, and the G query heads of one key-value head."""
    allow_successor(OVERLAP)
    kv_head, row, chunk = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    IS_SPLIT: tl.constexpr = MAX_CHUNKS > 1
    heads = tl.arange(0, M)
    is_head = heads < G
    dims = tl.arange(0, D)
    k_ptr, v_ptr = k_cache_ptr + kv_head * D, v_cache_ptr + kv_head * D

    length = tl.load(context_lens_ptr + row)
    table_row = tl.load(table_rows_ptr + row).to(tl.int64)
    table_ptr = tables_ptr + table_row * table_stride
    size = chunk_length(length, CHUNK, MAX_CHUNKS, TILE) if IS_SPLIT else length
    num_chunks = tl.cdiv(length, size)
    begin = chunk * size
    end = tl.minimum(begin + size, length)
    if begin >= length:
        return  # without waiting: the programs of first chunks do, which is enough
    row_ptr = q_ptr + row.to(tl.int64) * q_stride
    group_ptr = row_ptr + kv_head * (G * D)

    if IS_SPLIT:  # a chunk is mostly its first tile, which depends on no other kernel of this step
        tokens = begin + tl.arange(0, TILE)
        is_cached = tokens < (tl.minimum(end, length - 1) if IS_FUSED else end)
        cached = cache_rows(table_ptr, tokens, is_cached, B) * (KH * D)
        k, v = load_tile(k_ptr, v_ptr, cached, is_cached, D)
    wait_for_predecessor(OVERLAP)
    highest, total, acc = empty_state(M, D)
    if IS_FUSED:
        is_newest = end == length
        newest = length - 1
        angle_ptr = cos_sin_ptr + newest.to(tl.int64) * D
        factor = 1.0
        if HIDDEN > 0:
            residual_row = residual_ptr + row.to(tl.int64) * HIDDEN
            factor = inverse_rms_of(residual_row, eps, HIDDEN, BLOCK_HIDDEN)
        q = rotated_heads(
            group_ptr, factor, bias_ptr + kv_head * (G * D) if HAS_BIAS else None, q_weight_ptr,
            angle_ptr, heads, is_head, eps, D, HAS_BIAS, HAS_QK_NORM,
        ).to(q_ptr.dtype.element_ty)  # fmt: skip
        one = tl.arange(0, 1)  # the key is a group of one head
        is_mine = one == length - end  # true if the chunk ends with the newest token
        k_offset = (KH * G + kv_head) * D
        new_k = rotated_heads(
            row_ptr + k_offset, factor, bias_ptr + k_offset if HAS_BIAS else None, k_weight_ptr,
            angle_ptr, one, is_mine, eps, D, HAS_BIAS, HAS_QK_NORM,
        ).to(q_ptr.dtype.element_ty)  # fmt: skip
        v_columns = k_offset + KH * D + one[:, None] * D + dims[None, :]
        new_v = tl.load(row_ptr + v_columns).to(tl.float32) * factor
        if HAS_BIAS:
            new_v += tl.load(bias_ptr + v_columns).to(tl.float32)
        new_v = new_v.to(q_ptr.dtype.element_ty)
        block_id = tl.load(table_ptr + newest // B).to(tl.int64)
        slot = (block_id * B + newest % B) * (KH * D) + one[:, None] * D + dims[None, :]
        tl.store(k_ptr + slot, new_k, mask=is_mine[:, None])
        tl.store(v_ptr + slot, new_v, mask=is_mine[:, None])

        score = tl.sum(q.to(tl.float32) * new_k.to(tl.float32), axis=1) * scale
        highest = tl.where(is_newest, score, highest)
        total = tl.where(is_newest, 1.0, total)
        acc += tl.where(is_newest, new_v.to(tl.float32), 0.0)
        end = tl.minimum(end, newest)
    else:
        q_pointers = group_ptr + heads[:, None] * D + dims[None, :]
        q = tl.load(q_pointers, mask=is_head[:, None], other=0.0)

    if IS_SPLIT:
        is_visible = is_cached[None, :]
        highest, total, acc = update(q, k, v, is_visible, highest, total, acc, scale)
        begin += TILE
    highest, total, acc = attend_cached(
        q, highest, total, acc, heads, k_ptr, v_ptr, table_ptr, begin, end, scale,
        KH * D, B, D, TILE, False, NUM_STAGES,
    )  # fmt: skip

    out_group_ptr = out_ptr + (row.to(tl.int64) * KH + kv_head) * (G * D)
    group_columns = heads[:, None] * D + dims[None, :]
    if (not IS_SPLIT) or num_chunks == 1:
        out = (acc / total[:, None]).to(out_ptr.dtype.element_ty)
        tl.store(out_group_ptr + group_columns, out, mask=is_head[:, None])
    else:
        pair = row * KH + kv_head
        group_stats_ptr = stats_ptr + pair.to(tl.int64) * max_chunks * (2 * G)
        group_partial_ptr = partial_ptr + pair.to(tl.int64) * max_chunks * (G * D)
        tl.store(group_stats_ptr + chunk * (2 * G) + heads, highest, mask=is_head)
        tl.store(group_stats_ptr + chunk * (2 * G) + G + heads, total, mask=is_head)
        partial_pointers = group_partial_ptr + chunk * (G * D) + group_columns
        tl.store(partial_pointers, acc, mask=is_head[:, None])
        tl.debug_barrier()  # all threads' stores first, then the one thread that announces them
        if tl.atomic_add(arrivals_ptr + pair, 1, sem="acq_rel") == num_chunks - 1:
            out = _combine_chunks(
                group_partial_ptr, group_stats_ptr, num_chunks, G, D, BLOCK_GD, AT_ONCE
            ).to(out_ptr.dtype.element_ty)
            columns = tl.arange(0, BLOCK_GD)
            tl.store(out_group_ptr + columns, out, mask=columns < G * D)
            tl.store(arrivals_ptr + pair, 0)  # ready for the next layer


def launch_decode(
    q: Tensor,
    cache_layer: Tensor,
    out: Tensor,
    block_tables: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    workspace: DecodeWorkspace,
    *,
    scale: float,
    fused: "NewTokens | None" = None,
    options: dict[str, object],
) -> None:
    """Launch the kernel. `fused` says how to make queries, keys and values from `q` = qkv."""
    num_rows = len(context_lens)
    _, _, block_size, num_kv_heads, head_dim = cache_layer.shape
    group = out.shape[-2] // num_kv_heads
    tiles = workspace.tiles
    width = triton.next_power_of_2(group * head_dim)
    residual = fused and fused.residual
    hidden = 0 if residual is None else residual.shape[1]
    _decode_kernel[(num_kv_heads, num_rows, workspace.partial.shape[2])](
        q, residual, fused and fused.bias, fused and fused.q_weight, fused and fused.k_weight,
        fused and fused.cos_sin, cache_layer[0], cache_layer[1], out,
        block_tables, table_rows, context_lens,
        workspace.partial, workspace.stats, workspace.arrivals,
        q.stride(0), block_tables.stride(0), workspace.partial.shape[2], scale,
        fused.eps if fused else 0.0,
        KH=num_kv_heads, G=group, D=head_dim, B=block_size,
        M=max(16, triton.next_power_of_2(group)),
        BLOCK_GD=width, AT_ONCE=max(1, REGISTERS // width),
        HIDDEN=hidden, BLOCK_HIDDEN=triton.next_power_of_2(max(hidden, 1)),
        CHUNK=tiles.chunk, MAX_CHUNKS=tiles.max_chunks, TILE=tiles.tile,
        NUM_STAGES=tiles.num_stages,
        IS_FUSED=fused is not None, HAS_BIAS=bool(fused and fused.bias is not None),
        HAS_QK_NORM=bool(fused and fused.q_weight is not None),
        num_warps=tiles.num_warps, maxnreg=tiles.max_registers, **options,
    )  # fmt: skip


def reference(
    qkv: Float[Tensor, "rows outputs"],
    cache_layer: Float[Tensor, "2 blocks block_size kv_heads head_dim"],
    block_tables: Int[Tensor, "slots max_blocks"],
    table_rows: Int[Tensor, " rows"],
    context_lens: Int[Tensor, " rows"],
    num_heads: int,
    new: NewTokens,
) -> Float[Tensor, "rows heads head_dim"]:
    """Norm and rotate queries and keys, store key and value, attend. Writes to the cache."""
    _, _, block_size, num_kv_heads, head_dim = cache_layer.shape
    if new.residual is not None:
        rms = (new.residual.square().mean(1, keepdim=True) + new.eps).sqrt()
        qkv = qkv / rms
    if new.bias is not None:
        qkv = qkv + new.bias
    parts = (num_heads, num_kv_heads, num_kv_heads)
    q, k, v = qkv.view(len(qkv), -1, head_dim).split(parts, dim=1)
    positions = context_lens.long() - 1
    q, k = TorchOps().qk_norm_rope(
        q, k, positions, new.cos_sin, new.q_weight, new.k_weight, new.eps
    )
    out = torch.empty_like(q)
    for row, length in enumerate(context_lens.tolist()):
        table = block_tables[table_rows[row]]
        block, offset = table[(length - 1) // block_size], (length - 1) % block_size
        cache_layer[0, block, offset], cache_layer[1, block, offset] = k[row], v[row]
        keys, values = (gather(part, table, length) for part in cache_layer)
        out[row] = attend_one(q[row], keys, values)
    return out
