"""Attention of many query tokens over the paged cache: prefill, chunked prefill, mixed batches.

    q [T, H, D], sequence s owns tokens [starts[s], starts[s+1])     out [T, H, D]
    cache [blocks, B, KH, D] of keys and of values                 tables [S, blocks of a sequence]

One program takes some tokens of one sequence and the G query heads of one key-value head, and walks
that sequence's blocks once. Its keys are already in the cache, its own tokens' included.

    keys      0 ........................ first position | ... last position
    query     every row sees all of them: no mask       | the causal triangle: masked

Which tokens are a program's is found on the device, so that a CUDA graph can record a launch for
any lengths: the grid holds a bound of the number of tiles, and who is left over returns.

    tokens of each sequence   150        1     70              64 to a tile
    tiles                     0  1  2    3     4  5     (6 .. are left over)

The last tiles see the most keys, so programs take them first. A sequence without keys is padding:
its tokens become zeros.

Reference: `attention/reference.py`. Read next: `paged_decode.py`; the same in
CUDA C++ is `kernels/hopper/prefill.cu`.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.kernels.triton.flash import LOG2_E, attend_cached, empty_state

NUM_SMALL = 256
"""A step of so few tokens is of short pieces: guesses, or the rest of a prompt behind a hit."""


@triton.jit
def find_tile(starts_ptr, number, num_sequences, TOKENS: tl.constexpr, BLOCK: tl.constexpr):
    """The sequence and the first query of a tile; a sequence out of range if it is nobody's."""
    sequences = tl.arange(0, BLOCK)
    is_one = sequences < num_sequences
    starts = tl.load(starts_ptr + sequences, mask=is_one, other=0)
    ends = tl.load(starts_ptr + sequences + 1, mask=is_one, other=0)
    tiles = (ends - starts + TOKENS - 1) // TOKENS
    sequence = tl.sum((tl.cumsum(tiles, axis=0) <= number).to(tl.int32), axis=0)
    num_before = tl.sum(tl.where(sequences < sequence, tiles, 0), axis=0)
    return sequence, (number - num_before) * TOKENS


@triton.jit(do_not_specialize=["table_stride", "num_sequences"])
def _prefill_kernel(
    q_ptr, k_cache_ptr, v_cache_ptr, out_ptr, tables_ptr, starts_ptr, context_lens_ptr,
    q_stride, table_stride, num_sequences, scale,
    H: tl.constexpr, KH: tl.constexpr, D: tl.constexpr, B: tl.constexpr,
    M: tl.constexpr, TILE: tl.constexpr, NUM_STAGES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Some query tokens of one sequence and the G query heads of one key-value head."""
    G: tl.constexpr = H // KH
    TOKENS: tl.constexpr = M // G  # rows beyond TOKENS * G are padding
    number = tl.num_programs(0) - 1 - tl.program_id(0)
    sequence, first_query = find_tile(starts_ptr, number, num_sequences, TOKENS, BLOCK)
    if sequence >= num_sequences:
        return
    kv_head = tl.program_id(1)
    start = tl.load(starts_ptr + sequence)
    query_len = tl.load(starts_ptr + sequence + 1) - start

    rows = tl.arange(0, M)
    queries = first_query + rows // G
    is_row = (rows < TOKENS * G) & (queries < query_len)
    dims = tl.arange(0, D)
    tokens = (start + queries).to(tl.int64)
    heads = kv_head * G + rows % G
    q_pointers = q_ptr + tokens[:, None] * q_stride + heads[:, None] * D + dims[None, :]
    q = tl.load(q_pointers, mask=is_row[:, None], other=0.0)

    num_earlier = tl.load(context_lens_ptr + sequence) - query_len  # below 0 for padding
    positions = num_earlier + queries
    first_position = num_earlier + first_query
    end = tl.minimum(first_position + TOKENS, num_earlier + query_len)
    unmasked_end = tl.maximum(first_position + 1, 0) // TILE * TILE

    table_ptr = tables_ptr + sequence.to(tl.int64) * table_stride
    k_ptr, v_ptr = k_cache_ptr + kv_head * D, v_cache_ptr + kv_head * D
    highest, total, acc = empty_state(M, D)
    highest, total, acc = attend_cached(
        q, highest, total, acc, positions, k_ptr, v_ptr, table_ptr, 0, unmasked_end, scale,
        KH * D, B, D, TILE, False, NUM_STAGES,
    )  # fmt: skip
    highest, total, acc = attend_cached(
        q, highest, total, acc, positions, k_ptr, v_ptr, table_ptr, unmasked_end, end, scale,
        KH * D, B, D, TILE, True, NUM_STAGES,
    )  # fmt: skip
    total = tl.where(total == 0, 1.0, total)  # padding has seen nothing, and acc is 0
    out = (acc / total[:, None]).to(out_ptr.dtype.element_ty)
    out_pointers = out_ptr + tokens[:, None] * (H * D) + heads[:, None] * D + dims[None, :]
    tl.store(out_pointers, out, mask=is_row[:, None])


def paged_prefill(
    q: Float[Tensor, "tokens heads head_dim"],
    cache_layer: Float[Tensor, "2 blocks block_size kv_heads head_dim"],
    block_tables: Int[Tensor, "sequences max_blocks"],
    query_starts: Int[Tensor, " sequences_plus_one"],
    context_lens: Int[Tensor, " sequences"],
    out: Float[Tensor, "tokens heads head_dim"],
) -> None:
    """Causal attention of every query over its sequence's cached tokens, written to `out`.

    Args:
        q: Queries of all sequences, one after the other; a token's heads contiguous.
        cache_layer: One layer of the KV cache; this step's keys and values are already in it.
        block_tables: Physical block of each logical block.
        query_starts: Sequence s owns tokens `[query_starts[s], query_starts[s + 1])`.
        context_lens: Cached tokens of each sequence, this step's included; 0 for padding.
        out: Contiguous; every row of a sequence is written.
    """
    num_tokens, num_heads, head_dim = q.shape
    _, _, block_size, num_kv_heads, _ = cache_layer.shape
    group, num_sequences = num_heads // num_kv_heads, len(context_lens)
    rows = max(32 if num_tokens <= NUM_SMALL else 128, triton.next_power_of_2(group))
    num_tiles = min(num_tokens, num_tokens // (rows // group) + num_sequences)
    _prefill_kernel[(num_tiles, num_kv_heads)](
        q, cache_layer[0], cache_layer[1], out, block_tables, query_starts, context_lens,
        q.stride(0), block_tables.stride(0), num_sequences, head_dim**-0.5 * LOG2_E,
        H=num_heads, KH=num_kv_heads, D=head_dim, B=block_size,
        M=rows, TILE=64, NUM_STAGES=2, BLOCK=max(128, triton.next_power_of_2(num_sequences)),
        num_warps=4,
    )  # fmt: skip
