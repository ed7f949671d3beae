"""Our paged attention equals the reference: any lengths, blocks, groups and mixtures of both."""

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
from nanovllm_edu.kernels.triton.decode_operands import DecodeTiles
from nanovllm_edu.kernels.triton.paged_prefill import paged_prefill
from nanovllm_edu.paged.batch import Batch
from tests.attention.batches import cache_of

SMALL_TILES = DecodeTiles(max_chunks=3, chunk=16, tile=16)


def make_batch(query_lens, context_lens, block_size, device):
    """A batch whose blocks lie scattered over the cache."""
    num_blocks = -(-max(context_lens) // block_size)
    ids = torch.randperm(len(query_lens) * num_blocks, dtype=torch.int32)
    tables = ids.view(len(query_lens), num_blocks)
    positions = torch.cat(
        [torch.arange(c - n, c) for n, c in zip(query_lens, context_lens, strict=True)]
    )
    sequences = torch.repeat_interleave(torch.arange(len(query_lens)), torch.tensor(query_lens))
    blocks = tables[sequences, positions // block_size].long()
    starts = torch.tensor([0, *query_lens]).cumsum(0).int()
    return Batch(
        token_ids=torch.zeros_like(positions).to(device),
        positions=positions.to(device),
        slot_mapping=(blocks * block_size + positions % block_size).to(device),
        query_starts=starts.to(device),
        context_lens=torch.tensor(context_lens, dtype=torch.int32).to(device),
        block_tables=tables.to(device),
        rows=torch.arange(len(query_lens)).to(device),
        logit_rows=(starts[1:] - 1).long().to(device),
        sampled_rows=torch.arange(len(query_lens)).to(device),
        sampled_positions=torch.tensor(context_lens).to(device),
        query_lens=tuple(query_lens),
        max_query_len=max(query_lens),
        max_context_len=max(context_lens),
    )


def compare(query_lens, context_lens, device, *, block_size=16, heads=(4, 2, 64), tiles=None):
    num_heads, num_kv_heads, head_dim = heads
    batch = make_batch(query_lens, context_lens, block_size, device)
    num_tokens = len(batch.positions)
    shape = (2, 2, batch.block_tables.numel() + 1, block_size, num_kv_heads, head_dim)
    cache = cache_of(torch.randn(shape, device=device))
    expected_cache = cache.copy()
    q = torch.randn(num_tokens, num_heads, head_dim, device=device)
    k, v = torch.randn(2, num_tokens, num_kv_heads, head_dim, device=device)
    attend = TritonPagedAttention(tiles or SMALL_TILES).bind(batch, cache)
    reference = ReferenceAttention().bind(batch, expected_cache)
    for _ in range(2):  # twice, because layers share the scratch memory
        actual, expected = attend(1, q, k, v), reference(1, q, k, v)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(cache.data, expected_cache.data)


@pytest.mark.parametrize("block_size", [4, 16, 32])
def test_decode_over_one_and_many_chunks(device, block_size):
    compare([1] * 5, [1, 32, 33, 64, 101], device, block_size=block_size)


@pytest.mark.parametrize("heads", [(2, 2, 64), (7, 1, 64), (4, 2, 128), (4, 2, 32)])
def test_decode_with_any_group(device, heads):
    compare([1, 1], [70, 3], device, heads=heads)


def test_decode_with_many_more_chunks_than_workers(device):
    compare([1] * 12, list(range(5, 125, 10)), device, heads=(2, 1, 64))


def test_decode_of_more_chunks_than_are_combined_at_once(device):
    compare([1], [350], device, heads=(2, 1, 64))


@pytest.mark.parametrize("heads", [(2, 2, 64), (7, 1, 64), (4, 2, 128), (4, 2, 32)])
def test_prefill(device, heads):
    compare([1, 17, 70], [1, 17, 70], device, heads=heads)


@pytest.mark.parametrize("block_size", [4, 64])
def test_mixed_batch_of_decode_prefix_hits_and_prefill(device, block_size):
    compare([1, 9, 3, 40], [50, 73, 3, 140], device, block_size=block_size)


def test_prefill_of_a_long_group_tile(device):
    compare([150], [200], device, heads=(2, 1, 64))


def test_padding_behind_the_sequences_becomes_zeros(device):
    """A graph's step: fixed numbers of tokens and sequences, and some of both are nobody's."""
    lens, contexts = [20, 1, 33], [20, 50, 40]
    batch = make_batch(lens, contexts, 16, device)
    num_tokens, num_padding = sum(lens), 100
    cache = torch.randn(2, batch.block_tables.numel(), 16, 2, 64, device=device)
    q = torch.randn(num_tokens + num_padding, 4, 64, device=device)
    expected, out = (torch.full_like(part, 7.0) for part in (q[:num_tokens], q))
    args = cache, batch.block_tables, batch.query_starts, batch.context_lens
    paged_prefill(q[:num_tokens], *args, expected)
    end = num_tokens + num_padding
    starts = torch.tensor([0, 20, 21, 54, end, end, end], dtype=torch.int32, device=device)
    padded = torch.nn.functional.pad
    tables, lengths = padded(batch.block_tables, (0, 0, 0, 3)), padded(batch.context_lens, (0, 3))
    paged_prefill(q, cache, tables, starts, lengths, out)
    torch.testing.assert_close(out[:num_tokens], expected)
    assert not out[num_tokens:].any()
