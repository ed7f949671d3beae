"""Both caches against an oracle that looks at every sequence that ever ran: the right hits."""

from dataclasses import dataclass, field
from random import Random

import pytest

from nanovllm_edu.core.memory.block_manager import PREFIX_CACHES, BlockManager
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.memory.prefix_cache import NoCache, PrefixMatch
from nanovllm_edu.core.request.sequence import Sequence
from tests.core.sequences import compute, request


@dataclass
class Oracle:
    """Which whole prefixes are in which blocks, by comparing tokens and nothing else."""

    block_size: int
    contents: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Block -> all tokens up to its end."""

    def num_hit_tokens(self, seq: Sequence) -> int:
        found = 0
        prefixes = set(self.contents.values())
        for end in range(self.block_size, len(seq.token_ids), self.block_size):
            if tuple(seq.token_ids[:end]) not in prefixes:
                break
            found = end
        return found

    def look_at(self, manager: BlockManager, seq: Sequence) -> None:
        """Notes what a computed sequence's findable blocks hold, and who lost its content."""
        for index, block_id in enumerate(seq.block_table):
            end = (index + 1) * self.block_size
            if manager.blocks[block_id].content is not None:
                self.contents[block_id] = tuple(seq.token_ids[:end])
        for block in manager.blocks:
            if block.content is None:
                self.contents.pop(block.block_id, None)


def trace(seed: int, prefix_cache: str) -> list[tuple[int, int]]:
    """(hit tokens, what the oracle says) of each request of a random trace."""
    random = Random(seed)
    block_size = random.choice((1, 2, 3, 4))
    manager = BlockManager(
        random.randint(4, 24),
        block_size,
        prefix_cache=prefix_cache,
        eviction_policy=random.choice((LRU, FIFO)),
    )
    oracle = Oracle(block_size)
    running: list[Sequence] = []
    hits: list[tuple[int, int]] = []
    for seq_id in range(40):
        seq = request(seq_id, [random.randrange(2) for _ in range(random.randint(1, 14))])
        match = manager.match_prefix(seq)
        need = manager.num_blocks_for(len(seq.token_ids)) - len(match.block_ids)
        if need > manager.num_free_blocks - match.num_free:
            manager.forget(seq)
        else:
            hits.append((match.num_tokens, oracle.num_hit_tokens(seq)))
            compute(manager, seq)
            oracle.look_at(manager, seq)
            running.append(seq)
        while running and (random.random() < 0.4 or len(running) > 4):
            gone = running.pop(random.randrange(len(running)))
            manager.free(gone)
            manager.forget(gone)
        manager.check_invariants(running)
    return hits


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
@pytest.mark.parametrize("first", range(0, 500, 100))
def test_five_hundred_random_traces_hit_what_the_oracle_says(first: int, prefix_cache: str) -> None:
    num_hits = 0
    for seed in range(first, first + 100):
        for found, right in trace(seed, prefix_cache):
            assert found == right
            num_hits += found > 0
    assert num_hits > 1000


def test_no_cache_finds_and_remembers_nothing() -> None:
    cache = NoCache()
    lease = cache.lease(request(0, [1, 2, 3]).token_ids)
    assert cache.publish(lease, [0], 3) == []
    assert cache.match(lease, 3) == PrefixMatch((), 0, 0, "prefix caching is off")
    with pytest.raises(AssertionError, match="no block is ever cached"):
        cache.reclaim(LRU())


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
@pytest.mark.parametrize(
    ("num_tokens", "count", "reason"),
    [
        (4, 0, "the last token must be computed"),
        (5, 1, "the rest, 1 of 4 tokens, does not fill"),
        (8, 1, "the last token must be computed"),
        (9, 2, "the rest, 1 of 4 tokens, does not fill"),
    ],
)
def test_the_last_token_is_never_part_of_a_match(
    prefix_cache: str, num_tokens: int, count: int, reason: str
) -> None:
    manager = BlockManager(8, 4, prefix_cache=prefix_cache)
    compute(manager, request(0, [7] * 9))
    match = manager.match_prefix(request(1, [7] * num_tokens))
    assert (len(match.block_ids), match.num_tokens) == (count, 4 * count)
    assert reason in match.stopped_because
