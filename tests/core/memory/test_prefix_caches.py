"""Both prefix caches against a brute-force oracle, on the same random traces.

The oracle knows each content by the whole run of tokens up to its end, as a plain tuple, so it
needs neither hashes nor a tree. It foretells every match, every publication, and which block may be
evicted; an event that it did not foretell is a failure.
"""

from array import array
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

import pytest

from nanovllm_edu.core.events import BlockEvicted, BlocksCached, Event
from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.eviction import FIFO, LRU, EvictionPolicy
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence

Prefix = tuple[int, ...]
NUM_TRACES = 500
CACHES = ("hash", "radix")


def weak(num_bits: int) -> HashFunction:
    """A hash of so few bits that different contents often share one."""
    return lambda parent, tokens: block_hash(parent, tokens) & ((1 << num_bits) - 1)


@dataclass
class Lease:
    """What the oracle remembers of a sequence that runs.

    Attributes:
        num_passed: Leading blocks that it has published or found published by others.
        newest: The last of these contents, by its number; 0 is the empty prefix.
        is_mute: Whether it publishes nothing further.
    """

    num_passed: int = 0
    newest: int = 0
    is_mute: bool = False


@dataclass
class Oracle:
    """What can be found, by the whole prefix."""

    cache: str
    block_size: int
    hash_function: HashFunction
    blocks: dict[Prefix, int] = field(default_factory=dict)
    numbers: dict[Prefix, int] = field(default_factory=lambda: {(): 0})
    leases: dict[int, Lease] = field(default_factory=dict)
    num_numbers: int = 0

    def match(self, tokens: Prefix) -> list[int]:
        """The blocks of the longest run of leading blocks, without the last token."""
        found = []
        for end in range(self.block_size, len(tokens), self.block_size):
            if tokens[:end] not in self.blocks:
                break
            found.append(self.blocks[tokens[:end]])
        return found

    def start(self, seq_id: int, tokens: Prefix, num_found: int) -> None:
        newest = tokens[: num_found * self.block_size]
        self.leases[seq_id] = Lease(num_found, self.numbers[newest])

    def publish(self, seq: Sequence) -> list[int]:
        """The logical indices that become findable."""
        lease, tokens = self.leases[seq.seq_id], tuple(seq.token_ids)
        num_full = min(seq.num_computed_tokens, len(tokens)) // self.block_size
        if lease.is_mute or num_full <= lease.num_passed:
            return []
        if self.cache == "hash" and lease.newest and not self._is_findable(lease.newest):
            lease.num_passed = 0
        new = []
        for index in range(lease.num_passed, num_full):
            prefix = tokens[: (index + 1) * self.block_size]
            if self._is_barred(prefix):
                lease.is_mute = True
                break
            if prefix not in self.blocks:
                self._add(prefix, seq.block_table[index])
                new.append(index)
            lease.newest, lease.num_passed = self.numbers[prefix], index + 1
        return new

    def evict(self, block_id: int) -> None:
        (prefix,) = [p for p, block in self.blocks.items() if block == block_id]
        if self.cache == "radix":
            longer = [p for p in self.blocks if len(p) > len(prefix) and p[: len(prefix)] == prefix]
            assert not longer, "a block in the middle of the tree was evicted"
        del self.blocks[prefix]
        self._forget_what_nobody_needs()

    def reset(self) -> None:
        self.blocks, self.numbers = {}, {(): 0}
        for lease in self.leases.values():
            lease.is_mute = True

    def _is_findable(self, number: int) -> bool:
        return any(self.numbers[prefix] == number for prefix in self.blocks)

    def _is_barred(self, prefix: Prefix) -> bool:
        """Whether the sequence must keep this block to itself, and all behind it."""
        if self.cache == "radix":
            return prefix in self.blocks  # it has a copy of its own of what is in the tree
        taken = {self._hash(other): other for other in self.numbers if other}
        return taken.get(self._hash(prefix), prefix) != prefix

    def _hash(self, prefix: Prefix) -> int:
        key = None
        for start in range(0, len(prefix), self.block_size):
            key = self.hash_function(key, prefix[start : start + self.block_size])
        assert key is not None
        return key

    def _add(self, prefix: Prefix, block_id: int) -> None:
        self.blocks[prefix] = block_id
        for end in range(self.block_size, len(prefix) + 1, self.block_size):
            if prefix[:end] not in self.numbers:
                self.num_numbers += 1
                self.numbers[prefix[:end]] = self.num_numbers

    def _forget_what_nobody_needs(self) -> None:
        """A content is known as long as it, or one behind it, is in a block."""
        needed = {p[:end] for p in self.blocks for end in range(len(p) + 1)} | {()}
        self.numbers = {p: number for p, number in self.numbers.items() if p in needed}


class Trace:
    """Sequences that come, grow and go, through a manager and through the oracle."""

    def __init__(self, seed: int, cache: str, policy: Callable[[], EvictionPolicy]) -> None:
        self.random = random = Random(seed)
        self.block_size = random.randint(1, 8)
        hash_function = random.choice((block_hash, block_hash, weak(5), weak(2)))
        num_blocks = random.randint(3, 20)
        self.manager = BlockManager(
            num_blocks,
            self.block_size,
            prefix_cache=cache,
            eviction_policy=policy,
            hash_function=hash_function,
        )
        self.oracle = Oracle(cache, self.block_size, hash_function)
        self.texts = [self._text(40) for _ in range(2)]
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.num_seqs = self.num_hits = self.num_evictions = 0

    def run(self, num_steps: int) -> None:
        for _ in range(num_steps):
            chance = self.random.random()
            if chance < 0.35:
                self.start()
            elif chance < 0.75 and self.running:
                self.grow(self.random.choice(self.running))
            elif chance < 0.985 and self.running:
                self.free(self.random.choice(self.running))
            elif chance > 0.99:
                self.manager.reset_prefix_cache()
                self.oracle.reset()
            self.check()

    def start(self) -> None:
        """A new sequence, or one that waited, begins with what is found for it."""
        if not self.waiting or self.random.random() < 0.5:
            cut = self.random.choice(self.texts)[: self.random.randint(1, 40)]
            own = self._text(self.random.choice((0, 0, 1, 4)))
            tokens = array("Q", cut + own)
            self.waiting.append(Sequence(self.num_seqs, tokens, len(tokens), SamplingParams()))
            self.num_seqs += 1
        seq = self.random.choice(self.waiting)
        match = self.manager.match_prefix(seq)
        right = self.oracle.match(tuple(seq.token_ids))
        assert list(match.block_ids) == right, match.stopped_because
        assert match.num_tokens == len(right) * self.block_size
        assert match.num_free == sum(self.manager.blocks[b].ref_count == 0 for b in right)
        num_tokens = self.random.randint(match.num_tokens + 1, len(seq.token_ids))
        num_new = -(-num_tokens // self.block_size) - len(right)
        if num_new > self.manager.num_free_blocks - match.num_free:
            return
        self.waiting.remove(seq)
        self.running.append(seq)
        self.manager.share(seq, match)
        self.oracle.start(seq.seq_id, tuple(seq.token_ids), len(right))
        self.num_hits += len(right)
        self.compute(seq, num_tokens)

    def grow(self, seq: Sequence) -> None:
        """More of it is computed; behind its end new tokens come."""
        while self.random.random() < 0.5 and len(seq.token_ids) < 60:
            seq.token_ids.append(self.random.randrange(2))
        num_tokens = min(len(seq.token_ids), seq.num_computed_tokens + self.random.randint(0, 9))
        if self.manager.num_new_blocks(seq, num_tokens) <= self.manager.num_free_blocks:
            self.compute(seq, num_tokens)

    def compute(self, seq: Sequence, num_tokens: int) -> None:
        for event in self.manager.allocate(seq, num_tokens):
            if isinstance(event, BlockEvicted):
                self.oracle.evict(event.block_id)
                self.num_evictions += 1
        seq.num_computed_tokens = num_tokens
        right, table = self.oracle.publish(seq), seq.block_table
        assert _published(self.manager.publish(seq)) == [(i, table[i]) for i in right]

    def free(self, seq: Sequence) -> None:
        """It is finished, or goes back to wait."""
        self.manager.free(seq)
        self.running.remove(seq)
        del self.oracle.leases[seq.seq_id]
        if self.random.random() < 0.3:
            self.waiting.append(seq)
        else:
            self.manager.forget(seq)

    def check(self) -> None:
        self.manager.check_invariants(self.running, self.waiting)
        held = {b.block_id for b in self.manager.blocks if b.content is not None}
        assert held == set(self.oracle.blocks.values())
        for prefix, block_id in self.oracle.blocks.items():
            content = self.manager.blocks[block_id].content
            assert content is not None
            assert tuple(content.token_ids) == prefix[-self.block_size :]

    def _text(self, num_tokens: int) -> list[int]:
        """Two letters only, so that texts cross and part inside blocks."""
        return [self.random.randrange(2) for _ in range(num_tokens)]


def _published(events: list[Event]) -> list[tuple[int, int]]:
    return [
        (index, block_id)
        for event in events
        if isinstance(event, BlocksCached)
        for index, block_id in zip(event.indices, event.block_ids, strict=True)
    ]


@pytest.mark.parametrize("cache", CACHES)
def test_random_traces_hit_what_a_brute_force_oracle_says(cache: str) -> None:
    num_hits = num_evictions = 0
    for seed in range(NUM_TRACES):
        trace = Trace(seed, cache, LRU if seed % 2 else FIFO)
        trace.run(60)
        num_hits += trace.num_hits
        num_evictions += trace.num_evictions
    assert num_hits > 5000 and num_evictions > 1000, (num_hits, num_evictions)


@pytest.fixture(params=CACHES)
def manager(request: pytest.FixtureRequest) -> BlockManager:
    return BlockManager(4, 2, prefix_cache=request.param)


def _compute(manager: BlockManager, seq_id: int, tokens: list[int]) -> tuple[Sequence, int]:
    """Puts a new sequence through; returns it, and how many tokens were found."""
    seq = Sequence(seq_id, array("Q", tokens), len(tokens), SamplingParams())
    match = manager.match_prefix(seq)
    manager.share(seq, match)
    manager.allocate(seq, len(tokens))
    seq.num_computed_tokens = len(tokens)
    manager.publish(seq)
    return seq, match.num_tokens


class _NewestFirst(LRU):
    """Evicts a prompt's first block before those behind it."""

    def pop(self) -> int:
        block_id = list(self)[-1]
        self.discard(block_id)
        return block_id


def test_a_parent_that_was_evicted_and_computed_again_leads_to_its_children() -> None:
    manager = BlockManager(4, 2, prefix_cache="hash", eviction_policy=_NewestFirst)
    first, _ = _compute(manager, 0, [1, 2, 3, 4, 5])
    manager.free(first)
    other, _ = _compute(manager, 1, [8, 8, 8, 8, 8])  # takes the block of 1 2
    manager.free(other)
    again, num_found = _compute(manager, 2, [1, 2, 9])
    assert num_found == 0
    manager.free(again)
    asked = Sequence(3, array("Q", [1, 2, 3, 4, 7]), 5, SamplingParams())
    assert manager.match_prefix(asked).num_tokens == 4


def test_what_waited_while_the_cache_was_reset_still_publishes(manager: BlockManager) -> None:
    """A lease that is older than the reset begins anew when its sequence does."""
    seq = Sequence(0, array("Q", [1, 2, 3]), 3, SamplingParams())
    manager.match_prefix(seq)  # it is asked, and has to wait
    manager.reset_prefix_cache()
    manager.share(seq, manager.match_prefix(seq))
    manager.allocate(seq, 3)
    seq.num_computed_tokens = 3
    assert manager.publish(seq), "nobody else has this block, and it is full"
    manager.free(seq)
    assert _compute(manager, 1, [1, 2, 3])[1] == 2


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_of_long_prompts_can_be_copied(cache: str) -> None:
    """A prompt of thousands of blocks is a chain as long: a copy must not recurse along it."""
    manager = BlockManager(5000, 1, prefix_cache=cache)
    seq, _ = _compute(manager, 0, [3] * 4000)
    twin = deepcopy(manager)
    manager.free(seq)
    del manager
    asked = Sequence(1, array("Q", [3] * 4001), 4001, SamplingParams())
    assert twin.match_prefix(asked).num_tokens == 4000
    twin.check_invariants([seq_of(twin, seq)], [asked])


def seq_of(manager: BlockManager, seq: Sequence) -> Sequence:
    """The sequence as the copied manager still knows it: with its blocks."""
    held = Sequence(seq.seq_id, seq.token_ids, len(seq.token_ids), SamplingParams())
    held.block_table = [block.block_id for block in manager.blocks if block.ref_count]
    held.num_computed_tokens = len(held.block_table)
    return held
