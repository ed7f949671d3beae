import pytest

from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.request.sequence import Sequence
from tests.core.sequences import compute, extend, request


def test_a_block_is_found_until_it_is_evicted() -> None:
    blocks = [Block(0), Block(1)]
    index, evictable = HashIndex(blocks, block_size=2), LRU()
    lease = index.lease(request(0, [1, 2, 3]).token_ids)
    assert index.match(lease, 1).block_ids == ()
    assert index.publish(lease, [1], 3) == [0]
    index.check_invariants()
    other = index.lease(request(1, [1, 2, 4]).token_ids)
    assert index.match(other, 1).block_ids == (1,)
    evictable.push(1)
    block_id, content = index.reclaim(evictable)
    index.check_invariants()
    assert (block_id, list(content.token_ids), len(evictable)) == (1, [1, 2], 0)
    assert blocks[1].content is None
    assert index.match(other, 1).block_ids == ()


def test_a_block_is_published_once_and_only_when_it_is_full() -> None:
    index = HashIndex([Block(0), Block(1)], block_size=2)
    lease = index.lease(request(0, [1, 2, 3, 4]).token_ids)
    nums_of_tokens = (1, 2, 3, 4, 4)
    assert [index.publish(lease, [0, 1], n) for n in nums_of_tokens] == [[], [0], [], [1], []]


def test_the_same_tokens_behind_others_are_another_content() -> None:
    manager = BlockManager(8, 2)
    compute(manager, request(0, [1, 2, 3, 4]))
    assert manager.match_prefix(request(1, [3, 4, 3, 4, 5])).num_tokens == 0


def test_two_blocks_with_one_content_do_not_pass_the_audit() -> None:
    blocks = [Block(0), Block(1)]
    index = HashIndex(blocks, block_size=2)
    index.publish(index.lease(request(0, [1, 2, 3]).token_ids), [0], 3)
    blocks[1].content = blocks[0].content
    index.check_invariants()
    blocks[0].content.block = blocks[1]  # type: ignore[union-attr]
    blocks[1].content = None
    with pytest.raises(AssertionError):
        index.check_invariants()


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


def test_after_a_collision_a_sequence_publishes_nothing_further() -> None:
    manager = BlockManager(8, 2, hash_function=lambda parent, tokens: 7 if parent is None else 8)
    compute(manager, request(0, [1, 2]))
    collides = request(1, [3, 4, 5, 6])
    compute(manager, collides)
    assert [manager.blocks[i].content for i in collides.block_table] == [None, None]


def evicted_in_front() -> tuple[BlockManager, Sequence]:
    """[3, 4] is cached behind [1, 2], which was evicted; both are of the same sequence."""
    manager = BlockManager(4, 2, eviction_policy=FIFO)
    prefix, longer, other = request(0, [1, 2]), request(1, [1, 2, 3, 4, 0]), request(2, [9] * 6)
    compute(manager, prefix)
    manager.free(prefix)  # [1, 2] is first in line and keeps its place
    compute(manager, longer)
    manager.free(longer)
    manager.allocate(other, 6)  # evicts [1, 2], and leaves [3, 4] without what comes before it
    manager.free(other)
    return manager, longer


def test_behind_an_evicted_block_nothing_is_found() -> None:
    manager, longer = evicted_in_front()
    match = manager.match_prefix(longer)
    assert match.num_tokens == 0
    assert "was evicted, though blocks that were computed after it" in match.stopped_because
    manager.cache.check_invariants()


def test_a_content_is_found_again_once_somebody_computes_its_parent_anew() -> None:
    manager, longer = evicted_in_front()
    behind = next(block.block_id for block in manager.blocks if block.content is not None)
    again = request(3, [1, 2])
    compute(manager, again)
    manager.free(again)
    match = compute(manager, longer)
    assert (match.num_tokens, match.block_ids[1]) == (4, behind)
    manager.free(longer)
    manager.check_invariants([], [longer, again, request(0, []), request(2, [])])


def test_a_parent_computed_anew_by_a_stranger_is_no_parent() -> None:
    """Other tokens with the hash of the evicted block: what stood behind it is not theirs."""

    def blind(parent: int | None, token_ids: object) -> int:
        return 7 if parent is None else hash((parent, tuple(token_ids)))  # type: ignore[arg-type]

    manager = BlockManager(4, 2, eviction_policy=FIFO, hash_function=blind)
    prefix, longer, filler = request(0, [1, 2]), request(1, [1, 2, 3, 4]), request(2, [9] * 6)
    for seq in (prefix, longer):
        compute(manager, seq)
        manager.free(seq)
    manager.allocate(filler, 6)
    manager.free(filler)
    stranger = request(3, [5, 6])
    compute(manager, stranger)
    assert manager.match_prefix(request(4, [5, 6, 3, 4, 0])).num_tokens == 0
    manager.cache.check_invariants()


def test_a_content_is_forgotten_with_the_last_one_behind_it() -> None:
    manager, longer = evicted_in_front()
    filler = request(5, [8] * 8)
    manager.allocate(filler, 8)  # evicts [3, 4] too
    manager.cache.check_invariants()  # a content nobody needs would be found
    manager.free(filler)
    assert "no block has its hash" in manager.match_prefix(longer).stopped_because


def test_a_sequence_offers_its_own_copy_when_the_other_one_was_evicted() -> None:
    manager = BlockManager(6, 2)
    first, second = request(0, [1]), request(1, [1])
    for seq in (first, second):  # both compute the same, so the second one's copy stays private
        compute(manager, seq)
    for seq in (first, second):
        seq.token_ids.append(2)
        extend(manager, seq)
    manager.free(first)
    filler = request(2, [9] * 9)
    manager.allocate(filler, 9)  # evicts the first one's copy
    manager.free(filler)
    second.token_ids.extend([3, 4])
    extend(manager, second)
    match = manager.match_prefix(request(3, [1, 2, 3, 4, 5]))
    assert match.block_ids == tuple(second.block_table)
    manager.cache.check_invariants()
