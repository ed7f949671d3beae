import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from nanovllm_edu.core.events import BlockEvicted, BlocksAllocated, BlocksCached, BlocksFreed
from nanovllm_edu.core.memory.block_manager import PREFIX_CACHES, BlockManager
from nanovllm_edu.core.memory.eviction import FIFO, LRU, EvictionPolicy
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.errors import ConfigError
from tests.core.sequences import compute, extend, request
from tests.engine.workloads import weak_hash


@pytest.mark.parametrize(("num_blocks", "block_size"), [(0, 4), (4, 0), (-1, 1)])
def test_a_pool_needs_a_block_and_a_block_a_slot(num_blocks: int, block_size: int) -> None:
    with pytest.raises(ConfigError, match="below 1"):
        BlockManager(num_blocks, block_size)


def test_blank_blocks_are_handed_out_in_order() -> None:
    manager = BlockManager(8, 4)
    seq = request(0, list(range(10)))
    assert manager.allocate(seq, 10) == [BlocksAllocated(0, (0, 1, 2), 0, 10)]
    assert seq.block_table == [0, 1, 2]
    assert manager.allocate(seq, 12) == []
    assert manager.allocate(seq, 13) == [BlocksAllocated(0, (3,), 3, 13)]


@pytest.mark.parametrize(
    ("num_tokens", "num_blocks"), [(0, 0), (1, 1), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3)]
)
def test_a_full_block_needs_no_next_one(num_tokens: int, num_blocks: int) -> None:
    assert BlockManager(4, 4).num_blocks_for(num_tokens) == num_blocks


def test_only_full_blocks_are_cached() -> None:
    manager = BlockManager(8, 4)
    seq = request(0, list(range(10)))
    compute(manager, seq)
    states = [block.state for block in manager.blocks]
    assert states[:3] == ["used"] * 3
    assert [block.content is not None for block in manager.blocks[:3]] == [True, True, False]


def test_a_prefix_is_shared_with_one_reference_more() -> None:
    manager = BlockManager(8, 2)
    compute(manager, request(0, [1, 2, 3, 4, 5]))
    second = request(1, [1, 2, 3, 4, 6])
    match = compute(manager, second)
    assert match.block_ids == (0, 1)
    assert match.num_free == 0
    assert [manager.blocks[i].ref_count for i in (0, 1)] == [2, 2]
    assert second.block_table == [0, 1, 3]


def test_freed_blocks_stay_findable_and_count_as_free() -> None:
    manager = BlockManager(4, 2)
    first = request(0, [1, 2, 3, 4, 5])
    compute(manager, first)
    assert manager.free(first) == [BlocksFreed(0, (2, 1, 0), (0, 0, 0), (False, True, True))]
    assert manager.num_free_blocks == 4
    match = manager.match_prefix(request(1, [1, 2, 3, 4, 5]))
    assert (match.block_ids, match.num_tokens, match.num_free) == ((0, 1), 4, 2)


def test_blank_blocks_go_before_cached_ones_are_evicted() -> None:
    manager = BlockManager(4, 2)
    first = request(0, [1, 2, 3, 4])
    compute(manager, first)
    manager.free(first)
    events = manager.allocate(request(1, [7] * 6), 6)
    evicted = [e for e in events if isinstance(e, BlockEvicted)]
    assert [e.block_id for e in evicted] == [1]  # the tail goes before the head
    assert evicted[0].policy == "LRU"


def test_without_prefix_caching_nothing_is_found() -> None:
    manager = BlockManager(4, 2, prefix_cache=None)
    first = request(0, [1, 2, 3, 4])
    compute(manager, first)
    manager.free(first)
    assert manager.match_prefix(request(1, [1, 2, 3, 4])).stopped_because == (
        "prefix caching is off"
    )
    assert all(block.state == "free" for block in manager.blocks)


def test_blocks_of_generated_tokens_are_cached_too() -> None:
    manager = BlockManager(8, 2)
    seq = request(0, [1, 2, 3])
    compute(manager, seq)
    seq.token_ids.append(4)
    assert [type(e) for e in extend(manager, seq)] == [BlocksCached]
    assert manager.match_prefix(request(1, [1, 2, 3, 4, 5])).num_tokens == 4


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
def test_equal_content_is_findable_once(prefix_cache: str) -> None:
    manager = BlockManager(8, 2, prefix_cache=prefix_cache)
    first, second = request(0, [1]), request(1, [1])
    for seq in (first, second):
        compute(manager, seq)
    for seq in (first, second):
        seq.token_ids.extend([2, 3, 4])
        extend(manager, seq)
    assert [manager.blocks[i].content is not None for i in first.block_table] == [True, True]
    assert [manager.blocks[i].content is not None for i in second.block_table] == [False, False]


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
def test_a_reset_forgets_everything_but_running_sequences_keep_their_blocks(
    prefix_cache: str,
) -> None:
    manager = BlockManager(8, 2, prefix_cache=prefix_cache)
    first, second = request(0, [1, 2, 3, 4]), request(1, [5, 6, 7, 8])
    compute(manager, first)
    compute(manager, second)
    manager.free(first)
    manager.reset_prefix_cache()
    manager.check_invariants([second], [first])
    assert manager.match_prefix(request(2, [1, 2, 3])).num_tokens == 0
    assert manager.match_prefix(request(3, [5, 6, 7])).num_tokens == 0
    assert manager.num_free_blocks == 6
    second.token_ids.extend([9, 9])
    assert [type(e) for e in extend(manager, second)] == [BlocksAllocated]  # no proof, no hash
    manager.free(second)
    for seq_id in range(4):
        manager.forget(request(seq_id, [1]))
    manager.check_invariants([])


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
def test_the_next_one_that_starts_after_a_reset_is_found_again(prefix_cache: str) -> None:
    """Also if it was looked up before: what nothing is remembered of can go stale."""
    manager = BlockManager(8, 2, prefix_cache=prefix_cache)
    first, waits = request(0, [1, 2, 3, 4, 5]), request(1, [1, 2, 3, 4, 6])
    compute(manager, first)
    assert manager.match_prefix(waits).num_tokens == 4
    manager.free(first)
    manager.reset_prefix_cache()
    for seq in (waits, first):
        assert compute(manager, seq).num_tokens == 4 * (seq is first)
    manager.check_invariants([waits, first])


def test_a_trim_gives_back_the_blocks_that_are_left_over() -> None:
    manager = BlockManager(8, 2)
    seq = request(0, [1, 2, 3])
    manager.allocate(seq, 7)
    seq.num_computed_tokens = 3
    assert manager.trim(seq, 3) == [BlocksFreed(0, (3, 2), (0, 0), (False, False))]
    assert (seq.block_table, manager.trim(seq, 3)) == ([0, 1], [])
    manager.check_invariants([seq])


def test_a_table_that_was_trimmed_and_grew_again_is_another_one() -> None:
    manager = BlockManager(8, 2)
    seq, other = request(0, [1, 2, 3]), request(1, [4, 5])
    manager.allocate(seq, 5)
    assert seq.table() == (0, 1, 2)
    manager.trim(seq, 3)
    manager.allocate(other, 2)
    manager.allocate(seq, 5)
    assert seq.table() == tuple(seq.block_table) == (0, 1, 3)


def test_an_unknown_cache_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"prefix_cache='trie' is not one of 'hash', 'radix'"):
        BlockManager(4, 2, prefix_cache="trie")


def test_a_lease_that_outlives_its_sequence_is_found() -> None:
    manager = BlockManager(4, 2)
    seq = request(0, [1, 2, 3])
    compute(manager, seq)
    manager.free(seq)
    manager.check_invariants([], [seq])
    with pytest.raises(AssertionError, match="a lease outlives its sequence"):
        manager.check_invariants([])
    manager.forget(seq)
    manager.check_invariants([])


def test_freeing_more_often_than_taking_fails_at_once() -> None:
    manager = BlockManager(4, 2)
    seq = request(0, [1, 2, 3])
    compute(manager, seq)
    table = list(seq.block_table)
    manager.free(seq)
    seq.block_table = table
    with pytest.raises(AssertionError, match="released more often"):
        manager.free(seq)


token_ids = st.lists(st.integers(0, 1), min_size=1, max_size=14)


class BlockManagerMachine(RuleBasedStateMachine):
    """Random sequences over two tokens; `memory` holds the whole prefix that a slot's KV is of."""

    @initialize(
        num_blocks=st.integers(1, 9),
        block_size=st.integers(1, 4),
        prefix_cache=st.sampled_from(PREFIX_CACHES),
        num_hash_bits=st.sampled_from((1, 3, 64)),
        eviction_policy=st.sampled_from((LRU, FIFO)),
    )
    def build(
        self,
        num_blocks: int,
        block_size: int,
        prefix_cache: str,
        num_hash_bits: int,
        eviction_policy: type[EvictionPolicy],
    ) -> None:
        self.manager = BlockManager(
            num_blocks,
            block_size,
            prefix_cache=prefix_cache,
            hash_function=weak_hash(num_hash_bits),
            eviction_policy=eviction_policy,
        )
        self.memory: dict[tuple[int, int], tuple[int, ...]] = {}
        self.sequences: list[Sequence] = []
        self.num_requests = 0

    def compute(self, seq: Sequence, end: int) -> None:
        start = seq.num_computed_tokens
        self.manager.allocate(seq, end)
        seq.num_computed_tokens = end
        for position in range(start, end):
            index, offset = divmod(position, self.manager.block_size)
            self.memory[seq.block_table[index], offset] = tuple(seq.token_ids[: position + 1])
        self.manager.publish(seq)

    def has_room(self, seq: Sequence, end: int) -> bool:
        return self.manager.num_new_blocks(seq, end) <= self.manager.num_free_blocks

    @rule(token_ids=token_ids, share_of_prompt=st.floats(0, 1))
    def admit(self, token_ids: list[int], share_of_prompt: float) -> None:
        seq = request(self.num_requests, token_ids)
        match = self.manager.match_prefix(seq)
        assert match.num_tokens < len(token_ids)
        num_rest = max(1, round(share_of_prompt * (len(token_ids) - match.num_tokens)))
        end = match.num_tokens + num_rest
        num_new = self.manager.num_blocks_for(end) - len(match.block_ids)
        self.num_requests += 1
        if num_new > self.manager.num_free_blocks - match.num_free:
            self.manager.forget(seq)
        else:
            self.manager.share(seq, match)
            self.sequences.append(seq)
            self.compute(seq, end)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data(), num_tokens=st.integers(1, 5))
    def go_on(self, data: st.DataObject, num_tokens: int) -> None:
        seq = data.draw(st.sampled_from(self.sequences), "sequence")
        end = min(seq.num_computed_tokens + num_tokens, len(seq.token_ids))
        if self.has_room(seq, end):
            self.compute(seq, end)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data(), token_id=st.integers(0, 1))
    def generate(self, data: st.DataObject, token_id: int) -> None:
        data.draw(st.sampled_from(self.sequences), "sequence").token_ids.append(token_id)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.sequences), "sequence")
        self.sequences.remove(seq)
        self.manager.free(seq)
        self.manager.forget(seq)

    @precondition(lambda self: self.sequences)
    @rule(data=st.data(), num_tokens=st.integers(1, 5))
    def claim_too_much(self, data: st.DataObject, num_tokens: int) -> None:
        """Guesses go through the model and are wrong: their blocks go back."""
        seq = data.draw(st.sampled_from(self.sequences), "sequence")
        end = seq.num_computed_tokens
        if self.has_room(seq, end + num_tokens):
            self.manager.allocate(seq, end + num_tokens)
            self.manager.trim(seq, end)

    @rule()
    def reset(self) -> None:
        self.manager.reset_prefix_cache()

    @invariant()
    def the_books_balance(self) -> None:
        if self.num_requests:
            self.manager.check_invariants(self.sequences)

    @invariant()
    def every_sequence_reads_its_own_prefix(self) -> None:
        for seq in self.sequences if self.num_requests else ():
            for position in range(seq.num_computed_tokens):
                index, offset = divmod(position, self.manager.block_size)
                stored = self.memory[seq.block_table[index], offset]
                assert stored == tuple(seq.token_ids[: position + 1])

    def teardown(self) -> None:
        for seq in getattr(self, "sequences", []):
            self.manager.free(seq)
        if hasattr(self, "manager"):
            assert self.manager.num_free_blocks == self.manager.num_blocks


TestBlockManagerMachine = BlockManagerMachine.TestCase
TestBlockManagerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
