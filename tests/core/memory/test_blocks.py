import pytest

from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.errors import ConfigError


class Content:
    """What a block holds."""

    token_ids = (1, 2)
    hash = None


def cached(pool: BlockPool) -> None:
    """Takes a block, makes it findable and gives it back."""
    block = pool.allocate_blank()
    block.content = Content()
    pool.release(block)


def test_a_pool_has_a_block() -> None:
    with pytest.raises(ConfigError, match="num_blocks=0 is below 1"):
        BlockPool(0)


def test_blank_blocks_are_handed_out_in_order_and_before_cached_ones() -> None:
    pool = BlockPool(3)
    cached(pool)
    assert [pool.allocate_blank().block_id for _ in range(2)] == [1, 2]
    assert (list(pool.evictable), pool.num_free_blocks, pool.blank) == ([0], 1, [])
    evicted = pool.blocks[pool.evictable.pop()]
    evicted.content = None
    pool.add_blank(evicted.block_id)
    assert (pool.num_free_blocks, pool.blank) == (1, [0])
    assert pool.allocate_blank() is evicted
    assert (evicted.block_id, evicted.content, evicted.ref_count) == (0, None, 1)
    pool.check_invariants([1, 1, 1])


def test_a_block_has_as_many_users_as_took_it() -> None:
    pool = BlockPool(2)
    cached(pool)
    block = pool.blocks[0]
    for num_users in (1, 2):
        pool.add_ref(block)
        pool.check_invariants([num_users, 0])
    pool.release(block)
    assert (block.state, list(pool.evictable)) == ("used", [])
    pool.release(block)
    assert (block.state, list(pool.evictable)) == ("cached", [0])
    pool.check_invariants([0, 0])
    with pytest.raises(AssertionError, match="released more often"):
        pool.release(block)


def test_worthless_content_is_not_evicted_but_blank() -> None:
    pool = BlockPool(3)
    for _ in range(2):
        cached(pool)
    used = pool.allocate_blank()
    used.content = Content()
    pool.blank_out_all()
    pool.check_invariants([0, 0, 1])
    assert not list(pool.evictable)
    assert (pool.num_free_blocks, used.state, used.content) == (2, "used", None)
    assert [pool.allocate_blank().block_id for _ in range(2)] == [0, 1]
