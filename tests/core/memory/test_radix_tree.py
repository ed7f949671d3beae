from collections.abc import Callable

import pytest

from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.eviction import FIFO, LRU, EvictionPolicy
from tests.core.sequences import compute, extend, request


def tree(num_blocks: int = 8, **options: object) -> BlockManager:
    return BlockManager(num_blocks, 2, prefix_cache="radix", **options)  # type: ignore[arg-type]


def evict(manager: BlockManager, num_blocks: int) -> list[int]:
    """The blocks that go when so many are wanted more than are blank."""
    return [manager.cache.reclaim(manager.evictable)[0] for _ in range(num_blocks)]


@pytest.mark.parametrize(
    ("token_ids", "num_found", "reason"),
    [
        ([1, 2, 3, 4], 2, "the last token must be computed"),
        ([1, 2, 3], 2, "the rest, 1 of 2 tokens, does not fill a block"),
        ([1, 2, 9, 9, 9], 2, "no block behind the last one begins like it (never computed, or"),
        ([9, 9, 9], 0, "no block behind the last one begins like it"),
        ([1, 2, 3, 9, 9], 2, "block 1 has its first 1 of 2 tokens and then others"),
        ([1, 7, 3, 9, 9], 0, "block 0 has its first 1 of 2 tokens and then others"),
    ],
)
def test_a_match_says_where_the_prompt_leaves_the_tree(
    token_ids: list[int], num_found: int, reason: str
) -> None:
    manager = tree()
    compute(manager, request(0, [1, 2, 3, 4, 5, 6]))
    match = manager.match_prefix(request(1, token_ids))
    assert match.num_tokens == num_found
    assert reason in match.stopped_because


def test_a_prompt_that_leaves_inside_a_block_is_told_of_the_nearest_one() -> None:
    manager = BlockManager(8, 4, prefix_cache="radix")
    for seq_id, prompt in enumerate(([1, 9, 9, 9], [1, 2, 3, 8], [1, 2, 7, 7])):
        compute(manager, request(seq_id, prompt))
    match = manager.match_prefix(request(3, [1, 2, 3, 4, 5]))
    assert match.stopped_because == (
        "block 1 has its first 3 of 4 tokens and then others, and a block is shared whole or not "
        "at all"
    )


def test_branches_share_their_stem() -> None:
    manager = tree()
    seqs = [request(i, [1, 2, 3, 4, 5 + i, 6, 0]) for i in range(3)]
    found = [compute(manager, seq).num_tokens for seq in seqs]
    assert found == [0, 4, 4]
    assert [manager.blocks[i].ref_count for i in seqs[0].block_table[:3]] == [3, 3, 1]
    manager.check_invariants(seqs)


def test_the_same_tokens_behind_others_are_not_found() -> None:
    manager = tree()
    compute(manager, request(0, [1, 2, 3, 4]))
    assert manager.match_prefix(request(1, [3, 4, 3, 4, 5])).num_tokens == 0


@pytest.mark.parametrize("policy", [LRU, FIFO])
def test_leaves_go_first_and_a_parent_after_its_last_child(
    policy: Callable[[], EvictionPolicy],
) -> None:
    manager = tree(eviction_policy=policy)
    stem, left, right = request(0, [1, 2]), request(1, [1, 2, 3, 4]), request(2, [1, 2, 5, 6])
    for seq in (stem, left, right):  # with FIFO the stem is first in line, and has to wait
        compute(manager, seq)
        manager.free(seq)
        manager.forget(seq)
    assert list(manager.evictable) == ([0, 1, 2] if policy is FIFO else [1, 2, 0])
    for block_id, left_over in ((1, (2, 4)), (2, (2, 2)), (0, (0, 0))):
        assert evict(manager, 1) == [block_id]
        manager.pool.add_blank(block_id)
        both = [request(3, [1, 2, 3, 4, 0]), request(4, [1, 2, 5, 6, 0])]
        assert tuple(manager.match_prefix(seq).num_tokens for seq in both) == left_over
        manager.check_invariants([], both)


@pytest.mark.parametrize("policy", [LRU, FIFO])
def test_a_leaf_in_use_keeps_its_stem(policy: Callable[[], EvictionPolicy]) -> None:
    manager = tree(num_blocks=3, eviction_policy=policy)
    stem, user = request(0, [1, 2]), request(1, [1, 2, 3, 4])
    for seq in (stem, user):
        compute(manager, seq)
    manager.free(stem)
    assert manager.num_free_blocks == 1
    assert not len(manager.evictable)
    manager.check_invariants([user], [stem])


def test_an_evicted_leaf_has_no_hash_and_its_place_in_the_tree_is_free() -> None:
    manager = tree(num_blocks=2)
    first, second = request(0, [1, 2, 3]), request(1, [9, 9, 9])
    compute(manager, first)
    manager.free(first)
    events = manager.allocate(second, 3)
    assert [(e.block_id, e.hash) for e in events[:-1]] == [(0, None)]  # type: ignore[attr-defined]
    manager.free(second)
    assert compute(manager, first).num_tokens == 0
    manager.check_invariants([first], [second])


def test_a_private_copy_is_not_published_nor_is_anything_behind_it() -> None:
    """Else the tree would hold a block whose user does not use the one in front of it."""
    manager = tree()
    first, second = request(0, [1]), request(1, [1])
    for seq in (first, second):
        compute(manager, seq)
    first.token_ids.append(2)
    extend(manager, first)
    second.token_ids.extend([2, 3, 4])
    extend(manager, second)
    assert [manager.blocks[i].content for i in second.block_table] == [None, None]
    manager.check_invariants([first, second])
    manager.free(second)
    assert compute(manager, second).num_tokens == 2  # begun again, it shares and publishes
    assert manager.match_prefix(request(2, [1, 2, 3, 4, 5])).num_tokens == 4
    manager.forget(request(2, []))
    manager.check_invariants([first, second])
