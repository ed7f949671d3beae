import pytest

from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block
from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.core.memory.hash_index import PrefixIndex
from tests.core.sequences import compute, request


def test_a_block_is_found_until_it_is_forgotten() -> None:
    index, block = PrefixIndex(block_size=2), Block(5)
    assert index.match(request(0, [1, 2, 3])).block_ids == ()
    index.add(block, request(0, [1, 2, 3]), 0)
    index.check_invariants([block])
    assert index.match(request(1, [1, 2, 4])).block_ids == (5,)
    index.forget(block)
    index.check_invariants([block])
    assert index.match(request(2, [1, 2, 3])).block_ids == ()
    assert block == Block(5)


def test_a_block_is_only_found_behind_its_parent() -> None:
    index, first, second = PrefixIndex(block_size=2), Block(0), Block(1)
    seq = request(0, [1, 2, 3, 4, 5])
    index.add(first, seq, 0)
    index.add(second, seq, 1)
    index.forget(first)
    assert not index.is_findable(second.parent_content_id)
    index.add(first, request(1, [1, 2, 9]), 0)  # the same tokens, but another content
    match = index.match(seq)
    assert match.block_ids == (0,)
    assert "was evicted" in match.stopped_because


def test_two_blocks_with_one_hash_do_not_pass_the_audit() -> None:
    index, block, other = PrefixIndex(block_size=2), Block(0), Block(1)
    for each in (block, other):
        index.add(each, request(0, [1, 2, 3]), 0)
    with pytest.raises(AssertionError, match="block 0 has a hash by which another block"):
        index.check_invariants([block, other])


@pytest.mark.parametrize(
    ("token_ids", "reason"),
    [
        ([1, 2, 3, 4], "the last token must be computed"),
        ([1, 2, 3], "the rest, 1 of 2 tokens, does not fill a block"),
        ([1, 2, 9, 9, 9], "no block has its hash"),
    ],
)
def test_a_match_says_why_it_stops(token_ids: list[int], reason: str) -> None:
    manager = BlockManager(8, 2)
    compute(manager, request(0, [1, 2, 3, 4, 5, 6]))
    assert reason in manager.match_prefix(request(1, token_ids)).stopped_because


def test_a_hash_collision_is_told_from_a_miss() -> None:
    manager = BlockManager(8, 2, hash_function=lambda parent, token_ids: 7)
    compute(manager, request(0, [1, 2]))
    assert "collision" in manager.match_prefix(request(1, [3, 4, 5])).stopped_because


def test_a_block_whose_parent_was_evicted_gives_way_to_a_reachable_one() -> None:
    manager = BlockManager(4, 2, eviction_policy=FIFO)
    prefix, longer, other = request(0, [1, 2]), request(1, [1, 2, 3, 4, 0]), request(2, [9] * 6)
    compute(manager, prefix)
    manager.free(prefix)  # [1, 2] is first in line and keeps its place
    compute(manager, longer)
    manager.free(longer)
    manager.allocate(other, 6)  # evicts [1, 2], and leaves [3, 4] without what comes before it
    manager.free(other)
    again = request(3, [1, 2])
    compute(manager, again)
    manager.free(again)
    match = compute(manager, longer)
    assert match.num_tokens == 2
    assert "was evicted" in match.stopped_because
    manager.free(longer)
    assert manager.match_prefix(longer).num_tokens == 4
    manager.check_invariants([])
