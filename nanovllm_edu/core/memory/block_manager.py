"""`BlockManager`: which sequence owns which blocks of the KV cache.

It writes the block tables: what a match found is shared, what is missing is allocated, what became
full is made findable, and in the end everything is given back. Two books know the rest:

    block_pool.py      which blocks are free, and which one is handed out next
    prefix_index.py    which contents can be found, and in which blocks

Nothing here touches memory or knows about steps and queues: it is bookkeeping over integers, every
operation O(1) per block.

Source: PagedAttention (Kwon et al., 2023) and vLLM's automatic prefix caching.
Read next: these two, in this order; then `engine.py`.
"""

from collections.abc import Callable

from nanovllm_edu.core.events import (
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockForgotten,
    BlockFreed,
    PackedEvent,
)
from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.blocks import ROOT, Block, BlockPool
from nanovllm_edu.core.memory.eviction import LRU, EvictionPolicy
from nanovllm_edu.core.memory.hash_index import PrefixIndex, PrefixMatch
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.errors import ConfigError

__all__ = ["ROOT", "Block", "BlockManager", "PrefixMatch"]


class BlockManager:
    """Allocates, shares, caches and frees the blocks of one KV cache.

    Attributes:
        block_size: Token slots in a block.
        enable_prefix_caching: Whether blocks are found and shared by content.
        pool: The blocks.
        index: What is in them.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        *,
        enable_prefix_caching: bool = True,
        eviction_policy: Callable[[], EvictionPolicy] = LRU,
        hash_function: HashFunction = block_hash,
    ) -> None:
        """Creates `num_blocks` blank blocks of `block_size` token slots each.

        Raises:
            ConfigError: Either number is below 1.
        """
        if block_size < 1:
            raise ConfigError(f"block_size={block_size} is below 1; a block holds >= 1 token.")
        self.block_size = block_size
        self.enable_prefix_caching = enable_prefix_caching
        self.pool = BlockPool(num_blocks, eviction_policy)
        self.index = PrefixIndex(block_size, hash_function)

    @property
    def blocks(self) -> list[Block]:
        """Every block, by block id."""
        return self.pool.blocks

    @property
    def evictable(self) -> EvictionPolicy:
        """Cached blocks without a user, next to be evicted first."""
        return self.pool.evictable

    @property
    def num_blocks(self) -> int:
        """Blocks in the pool."""
        return len(self.pool.blocks)

    @property
    def num_free_blocks(self) -> int:
        """Blocks that can be handed out: blank ones and cached ones without a user."""
        return self.pool.num_free_blocks

    def num_blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold `num_tokens` tokens: rounded up, so a full block needs no next one."""
        return -(-num_tokens // self.block_size)

    def num_new_blocks(self, seq: Sequence, end: int) -> int:
        """Blocks that `seq` still lacks to hold tokens [0, end)."""
        return max(0, self.num_blocks_for(end) - len(seq.block_table))

    def match_prefix(self, seq: Sequence) -> PrefixMatch:
        """Finds the longest run of leading blocks of `seq` that are already computed."""
        if not self.enable_prefix_caching:
            return PrefixMatch((), 0, 0, "prefix caching is off")
        return self.index.match(seq)

    def share(self, seq: Sequence, match: PrefixMatch) -> None:
        """Makes the matched blocks the head of the (empty) block table of `seq`."""
        assert not seq.block_table, "a sequence takes its prefix before any other block"
        for block_id in match.block_ids:
            block = self.pool.blocks[block_id]
            self.pool.use(block)
            seq.parent_content_id = block.content_id
        seq.block_table.extend(match.block_ids)
        seq.num_cached_blocks = len(match.block_ids)
        seq.num_computed_tokens = match.num_tokens

    def allocate(self, seq: Sequence, end: int) -> list[PackedEvent]:
        """Extends the block table of `seq` so that it holds tokens [0, end).

        The caller has checked that `num_new_blocks(seq, end) <= num_free_blocks`.
        """
        events: list[PackedEvent] = []
        for index in range(len(seq.block_table), self.num_blocks_for(end)):
            block = self.pool.take()
            if block.hash is not None:
                policy = type(self.evictable).__name__
                events.append((BlockEvicted, seq.seq_id, block.block_id, block.hash, policy))
                self.index.forget(block)
            seq.block_table.append(block.block_id)
            start = index * self.block_size
            stop = min(end, start + self.block_size)
            events.append((BlockAllocated, seq.seq_id, block.block_id, index, start, stop))
        return events

    def cache_full_blocks(self, seq: Sequence) -> list[PackedEvent]:
        """Makes findable each block of `seq` that is full, computed, and of known tokens.

        A block whose content another block already holds stays private: one findable copy is
        enough. After a collision, or when the content in front of it was evicted, nothing further
        of `seq` is cached: no match could prove it.
        """
        num_full = self.index.num_cacheable_blocks(seq)
        if num_full <= seq.num_cached_blocks or not self.enable_prefix_caching:
            return []
        events: list[PackedEvent] = []
        for index in range(seq.num_cached_blocks, num_full):
            if self.index.is_findable(seq.parent_content_id):
                events += self._cache(seq, index)
        seq.num_cached_blocks = num_full
        return events

    def _cache(self, seq: Sequence, index: int) -> list[PackedEvent]:
        """Makes block `index` of `seq` findable, unless its content already is."""
        block, known = self.blocks[seq.block_table[index]], self.index.find(seq, index)
        events: list[PackedEvent] = []
        if known is not None and self.index.is_findable(known.parent_content_id):
            is_same = self.index.holds(known, seq, index, seq.parent_content_id)
            seq.parent_content_id = known.content_id if is_same else None
            return []
        if known is not None:  # what was in front of it is gone: no match can reach it any more
            assert known.hash is not None
            events.append((BlockForgotten, seq.seq_id, known.block_id, known.hash, block.block_id))
            self.pool.blank_out(known)
            self.index.forget(known)
        key = self.index.add(block, seq, index)
        events.append((BlockCached, seq.seq_id, block.block_id, index, key))
        return events

    def free(self, seq: Sequence) -> list[PackedEvent]:
        """Takes every block from `seq`, last one first, so that a prefix outlives its tail."""
        events: list[PackedEvent] = []
        for block_id in reversed(seq.block_table):
            block = self.pool.blocks[block_id]
            self.pool.let_go(block)
            is_cached = block.hash is not None
            events.append((BlockFreed, seq.seq_id, block_id, block.ref_count, is_cached))
        seq.block_table.clear()
        seq.num_cached_blocks = 0
        seq.num_computed_tokens = 0
        seq.parent_content_id = ROOT
        return events

    def reset_prefix_cache(self) -> None:
        """Forgets all findable content. Running sequences keep their blocks."""
        self.pool.blank_out_all()
        self.index.forget_all()

    def check_invariants(self, sequences: list[Sequence]) -> None:
        """Fails an assertion if the books do not balance. `sequences`: all that hold blocks."""
        num_users = [0] * self.num_blocks
        for seq in sequences:
            assert len(set(seq.block_table)) == len(seq.block_table), "a block twice in one table"
            assert len(seq.block_table) == self.num_blocks_for(seq.num_computed_tokens)
            for block_id in seq.block_table:
                num_users[block_id] += 1
        self.pool.check_invariants(num_users)
        self.index.check_invariants(self.blocks)
