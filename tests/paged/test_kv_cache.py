"""Blocks, slots and the scratch block of the cache."""

import sys
from pathlib import Path

import pytest
import torch

from nanovllm_edu.core.plan import BlockCopy, BlockRef
from nanovllm_edu.errors import OutOfDeviceMemoryError
from nanovllm_edu.paged.kv_cache import KVCache, bytes_per_block


def make(
    num_host_blocks: int = 0, num_blocks: int = 3, dtype: torch.dtype = torch.float32
) -> KVCache:
    return KVCache.allocate(
        num_layers=2, num_blocks=num_blocks, block_size=4, num_kv_heads=2, head_dim=8,
        dtype=dtype, device=torch.device("cpu"),
        num_host_blocks=num_host_blocks,
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


def filled() -> KVCache:
    """Block b of the device holds b, block b of the host 10 + b."""
    cache = make(num_host_blocks=2)
    for block_id in range(4):
        cache.data[:, :, block_id] = block_id
    for block_id in range(2):
        cache.host[:, :, block_id] = 10 + block_id
    return cache


def content(cache: KVCache) -> list[list[float]]:
    """The one number in each block of each tier."""
    return [
        [float(v) for tensor in tier.unbind(2) for (v,) in [tensor.unique()]]
        for tier in (cache.data, cache.host)
    ]


def copied(*copies: tuple[tuple[int, int], tuple[int, int]]) -> list[list[float]]:
    cache = filled()
    cache.copy_blocks(
        [BlockCopy(BlockRef(*source), BlockRef(*target)) for source, target in copies]
    )
    return content(cache)


def test_a_block_is_copied_in_all_layers_within_a_tier_and_between_two() -> None:
    assert copied(((0, 1), (0, 2))) == [[0, 1, 1, 3], [10, 11]]
    assert copied(((0, 1), (1, 0))) == [[0, 1, 2, 3], [1, 11]]
    assert copied(((1, 1), (0, 0))) == [[11, 1, 2, 3], [10, 11]]
    assert copied(((1, 1), (1, 0))) == [[0, 1, 2, 3], [11, 11]]


def test_copies_take_effect_one_after_the_other() -> None:
    assert copied(((0, 1), (1, 0)), ((0, 2), (0, 1)), ((1, 0), (0, 2))) == [[0, 2, 1, 3], [1, 11]]


def test_the_hosts_blocks_are_on_the_host_and_copied_with_the_cache() -> None:
    cache = filled()
    assert cache.host.shape == (2, 2, 2, 4, 2, 8)
    assert cache.host.device.type == "cpu"
    twin = cache.copy()
    twin.host.fill_(99)
    assert content(cache)[1] == [10, 11]
    assert make().host.numel() == 0


def test_bytes_per_block() -> None:
    cache = make()
    assert bytes_per_block(2, 4, 2, 8, torch.float32) * 4 == cache.data.nbytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_is_zero_and_lies_where_a_cache_line_begins(dtype: torch.dtype) -> None:
    cache = make(num_blocks=500, dtype=dtype)
    assert cache.data.dtype == dtype
    assert not cache.data.any()
    assert cache.data.is_contiguous()
    assert cache.data.data_ptr() % 64 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
def test_blocks_take_no_memory_before_they_are_used() -> None:
    def in_use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = in_use()
    cache = make(num_blocks=2**18)
    assert cache.data.nbytes > 2**28
    assert in_use() - before < 2**26


@pytest.mark.parametrize("num_blocks", [2**45, 2**60])
def test_more_blocks_than_memory_are_an_error_that_says_what_to_lower(num_blocks: int) -> None:
    with pytest.raises(OutOfDeviceMemoryError, match="lower num_blocks"):
        make(num_blocks=num_blocks)
