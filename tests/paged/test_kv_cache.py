"""Blocks, slots and the scratch block of the cache."""

import torch

from nanovllm_edu.paged.kv_cache import KVCache, bytes_per_block


def make() -> KVCache:
    return KVCache.allocate(
        num_layers=2, num_blocks=3, block_size=4, num_kv_heads=2, head_dim=8,
        dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip


def test_shape_and_scratch_block() -> None:
    cache = make()
    assert cache.data.shape == (2, 2, 4, 4, 2, 8)
    assert (cache.num_blocks, cache.scratch_block, cache.block_size) == (3, 3, 4)


def test_a_slot_is_block_times_block_size_plus_offset() -> None:
    cache = make()
    cache.keys(1)[2, 3] = 5.0
    assert torch.equal(cache.slots(1)[0, 2 * 4 + 3], torch.full((2, 8), 5.0))
    assert cache.slots(1).data_ptr() == cache.keys(1).data_ptr()  # a view, not a copy


def test_a_copy_is_independent() -> None:
    cache = make()
    cache.copy().data.fill_(1.0)
    assert not cache.data.any()


def test_bytes_per_block() -> None:
    cache = make()
    assert bytes_per_block(2, 4, 2, 8, torch.float32) * 4 == cache.data.nbytes
