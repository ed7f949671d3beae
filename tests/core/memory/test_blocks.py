import pytest

from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.errors import ConfigError


def cached(pool: BlockPool) -> None:
    """Takes a block, makes it findable and lets go of it."""
    block = pool.take()
    block.hash = 100 + block.block_id
    pool.let_go(block)


def test_a_pool_has_a_block() -> None:
    with pytest.raises(ConfigError, match="num_blocks=0 is below 1"):
        BlockPool(0)


def test_blank_blocks_are_handed_out_in_order_and_before_cached_ones() -> None:
    pool = BlockPool(3)
    cached(pool)
    assert [pool.take().block_id for _ in range(2)] == [1, 2]
    assert (list(pool.evictable), pool.num_free_blocks) == ([0], 1)
    evicted = pool.take()
    assert (evicted.block_id, evicted.hash, evicted.ref_count) == (0, 100, 1)


def test_a_block_has_as_many_users_as_took_it() -> None:
    pool = BlockPool(2)
    cached(pool)
    block = pool.blocks[0]
    for num_users in (1, 2):
        pool.use(block)
        pool.check_invariants([num_users, 0])
    pool.let_go(block)
    assert (block.state, list(pool.evictable)) == ("used", [])
    pool.let_go(block)
    assert (block.state, list(pool.evictable)) == ("cached", [0])
    pool.check_invariants([0, 0])
    with pytest.raises(AssertionError, match="freed more often"):
        pool.let_go(block)


def test_worthless_content_is_not_evicted_but_blank() -> None:
    pool = BlockPool(2)
    for _ in range(2):
        cached(pool)
    pool.blank_out(pool.blocks[0])
    pool.blocks[0].hash = None
    pool.check_invariants([0, 0])
    pool.blank_out_all()
    pool.blocks[1].hash = None
    pool.check_invariants([0, 0])
    assert not list(pool.evictable)
    assert pool.num_free_blocks == 2
