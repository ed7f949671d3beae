"""A small step's ends in C: its tokens are looked up in tables, and the next ones written there.

torch would do either by a dozen operations, each of some microseconds: as long as a small model's
layer takes.

Read next: `tables.c`; the references are `DeviceTables.batch` and `Sampler`.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nanovllm_edu.native.attention import Places
from nanovllm_edu.native.threads import load_kernels, num_threads

functions = partial(load_kernels, "tables.c")


def look_up(
    vectors: Float[Tensor, "vocab dim"],
    token_ids: Int[Tensor, "rows longest"],
    places: Places,
    block_size: int,
) -> Float[Tensor, "tokens dim"]:
    """Each token's vector; writes into `places.slots` where its key and value go.

    Args:
        vectors: One for each token of the vocabulary.
        token_ids: The tokens of each row.
        places: Row and position of each token; good ones, for C does not check them.
        block_size: Tokens of a block.
    """
    block_tables, rows, positions, slots = _checked(places)
    assert vectors.dtype == torch.float32
    assert vectors.is_contiguous()
    assert token_ids.dtype == torch.int64
    assert token_ids.is_contiguous()
    hidden = torch.empty(len(rows), vectors.shape[1])
    arrays = (hidden, slots, vectors, token_ids, rows, positions, block_tables)
    functions().look_up(
        *(array.data_ptr() for array in arrays),
        *(*hidden.shape, token_ids.shape[1], block_tables.stride(0), block_size, num_threads()),
    )
    return hidden


def choose(
    logits: Float[Tensor, "tokens vocab"], token_ids: Int[Tensor, "rows longest"], places: Places
) -> tuple[Int[Tensor, " tokens"], Bool[Tensor, " tokens"]]:
    """The likeliest token behind each of some, written into `token_ids` too.

    Returns:
        The tokens, and whether a row of logits holds a NaN or an infinity: its token means nothing.
    """
    _, rows, positions, _ = _checked(places)
    assert logits.dtype == torch.float32
    assert logits.is_contiguous()
    assert len(logits) == len(rows)
    assert token_ids.dtype == torch.int64
    assert token_ids.is_contiguous()
    chosen, are_broken = torch.empty_like(rows), torch.empty(len(rows), dtype=torch.bool)
    arrays = (chosen, are_broken, logits, token_ids, rows, positions)
    functions().choose(
        *(array.data_ptr() for array in arrays), *logits.shape, token_ids.shape[1], num_threads()
    )
    return chosen, are_broken


def _checked(places: Places) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lists = (places.sequences, places.positions, places.slots)
    for one in lists:
        assert one.dtype == torch.int64
        assert one.is_contiguous()
        assert len(one) == len(places.slots)
    assert places.block_tables.dtype == torch.int32
    assert places.block_tables.stride(1) == 1
    return (places.block_tables, *lists)
