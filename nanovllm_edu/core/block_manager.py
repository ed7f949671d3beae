"""`BlockManager`: who owns which block of the KV cache, and which blocks can be found by content.

A block is `block_size` slots of KV memory. It is always in one of three states:

    used     ref_count > 0; one or more block tables point at it
    cached   ref_count == 0, but a prefix match can still find it: free until somebody needs it
    free     blank: no user, no findable content

Blank blocks are handed out first; only when there is none is a cached block evicted. Nothing here
touches memory or knows about steps and queues: it is bookkeeping over integers, every operation
O(1) per block.

A hit is proved, not believed. A block is found by its chained hash, then its tokens are compared
and its parent must be the very content matched just before it (`content_id`), so that no collision,
in the block or anywhere in front of it, can serve the KV of another prompt.

Source: PagedAttention (Kwon et al., 2023) and vLLM's automatic prefix caching.
Read next: `core/block_hash.py`, `core/eviction.py`, then `core/scheduler.py`, the only caller.
"""

from array import array
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, NamedTuple

from nanovllm_edu.core.block_hash import HashFunction, block_hash
from nanovllm_edu.core.events import (
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockForgotten,
    BlockFreed,
    Event,
)
from nanovllm_edu.core.eviction import LRU, EvictionPolicy
from nanovllm_edu.core.sequence import Sequence
from nanovllm_edu.errors import ConfigError

ROOT = 0
"""The `content_id` of the empty prefix: the parent of every first block."""


@dataclass(slots=True)
class Block:
    """One physical block. `hash` is None unless its content is findable."""

    block_id: int
    ref_count: int = 0
    hash: int | None = None
    token_ids: Seq[int] = ()
    content_id: int = ROOT
    parent_content_id: int = ROOT

    @property
    def state(self) -> str:
        """`"used"`, `"cached"` or `"free"`."""
        if self.ref_count:
            return "used"
        return "free" if self.hash is None else "cached"


class PrefixMatch(NamedTuple):
    """The leading blocks of a sequence that are already computed, and why there are not more."""

    block_ids: tuple[int, ...]
    num_tokens: int
    num_free: int
    """How many of these blocks have no user now: taking them uses up free blocks."""
    stopped_because: str


class BlockManager:
    """Allocates, shares, caches and evicts the blocks of one KV cache."""

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
        if num_blocks < 1:
            raise ConfigError(
                f"num_blocks={num_blocks} is below 1: the KV cache has no room for a single block; "
                "raise num_blocks or gpu_memory_utilization."
            )
        self.block_size = block_size
        self.enable_prefix_caching = enable_prefix_caching
        self.blocks = [Block(block_id) for block_id in range(num_blocks)]
        self._new_eviction_policy = eviction_policy
        self.evictable: EvictionPolicy = eviction_policy()
        self._hash = hash_function
        self._blank = list(range(num_blocks - 1, -1, -1))  # a stack: block 0 is handed out first
        self._by_hash: dict[int, Block] = {}
        self._findable_contents = {ROOT}
        self._last_content_id = ROOT

    @property
    def num_blocks(self) -> int:
        """Blocks in the pool."""
        return len(self.blocks)

    @property
    def num_free_blocks(self) -> int:
        """Blocks that can be handed out: blank ones and cached ones without a user."""
        return len(self._blank) + len(self.evictable)

    def num_blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold `num_tokens` tokens: rounded up, so a full block needs no next one."""
        return -(-num_tokens // self.block_size)

    def fits(self, seq: Sequence, end: int) -> bool:
        """Whether the blocks that `seq` has hold tokens [0, end)."""
        return end <= len(seq.block_table) * self.block_size

    def num_new_blocks(self, seq: Sequence, end: int) -> int:
        """Blocks that `seq` still lacks to hold tokens [0, end)."""
        return max(0, self.num_blocks_for(end) - len(seq.block_table))

    def match_prefix(self, seq: Sequence) -> PrefixMatch:
        """Finds the longest run of leading blocks of `seq` that are already computed."""
        if not self.enable_prefix_caching:
            return PrefixMatch((), 0, 0, "prefix caching is off")
        found: list[int] = []
        num_free = 0
        parent_content_id = ROOT
        reason = self._why_no_more(seq)
        for index in range(self._num_matchable_blocks(seq)):
            block = self._by_hash.get(self._hash_of(seq, index))
            if block is None:
                reason = "no block has its hash (never computed, or evicted)"
                break
            if not self._holds(block, seq, index, parent_content_id):
                reason = self._why_not(block)
                break
            found.append(block.block_id)
            num_free += block.ref_count == 0
            parent_content_id = block.content_id
        return PrefixMatch(tuple(found), len(found) * self.block_size, num_free, reason)

    def share(self, seq: Sequence, match: PrefixMatch) -> None:
        """Makes the matched blocks the head of the (empty) block table of `seq`."""
        assert not seq.block_table, "a sequence takes its prefix before any other block"
        for block_id in match.block_ids:
            block = self.blocks[block_id]
            if block.ref_count == 0:
                self.evictable.remove(block_id)
            block.ref_count += 1
            seq.parent_content_id = block.content_id
        seq.block_table.extend(match.block_ids)
        seq.num_cached_blocks = len(match.block_ids)
        seq.num_computed_tokens = match.num_tokens

    def allocate(self, seq: Sequence, end: int) -> list[Event]:
        """Extends the block table of `seq` so that it holds tokens [0, end).

        The caller has checked that `num_new_blocks(seq, end) <= num_free_blocks`.
        """
        events: list[Event] = []
        for index in range(len(seq.block_table), self.num_blocks_for(end)):
            block = self._take(seq, events)
            block.ref_count = 1
            seq.block_table.append(block.block_id)
            start = index * self.block_size
            events.append(
                BlockAllocated(
                    seq.seq_id, block.block_id, index, start, min(end, start + self.block_size)
                )
            )
        return events

    def cache_full_blocks(self, seq: Sequence) -> list[Event]:
        """Makes findable each block of `seq` that is full, computed, and of known tokens.

        A block whose content another block already holds stays private: one findable copy is
        enough. After a collision, or when the content in front of it was evicted, nothing further
        of `seq` is cached: no match could prove it.
        """
        num_full = self._num_cacheable_blocks(seq)
        if num_full <= seq.num_cached_blocks or not self.enable_prefix_caching:
            return []
        events: list[Event] = []
        for index in range(seq.num_cached_blocks, num_full):
            if seq.parent_content_id in self._findable_contents:
                events += self._cache(seq, index, seq.parent_content_id)
        seq.num_cached_blocks = num_full
        return events

    def free(self, seq: Sequence) -> list[Event]:
        """Takes every block from `seq`, last one first, so that a prefix outlives its tail."""
        events: list[Event] = []
        for block_id in reversed(seq.block_table):
            block = self.blocks[block_id]
            assert block.ref_count > 0, f"block {block_id} freed more often than taken"
            block.ref_count -= 1
            if block.ref_count == 0:
                self._release(block)
            events.append(BlockFreed(seq.seq_id, block_id, block.ref_count, block.hash is not None))
        seq.block_table.clear()
        seq.num_cached_blocks = 0
        seq.num_computed_tokens = 0
        seq.parent_content_id = ROOT
        return events

    def reset_prefix_cache(self) -> None:
        """Forgets all findable content. Running sequences keep their blocks."""
        self._blank += reversed(list(self.evictable))
        self.evictable = self._new_eviction_policy()
        for block in list(self._by_hash.values()):
            self._forget(block)

    def check_invariants(self, sequences: list[Sequence]) -> None:
        """Fails an assertion if the books do not balance. `sequences`: all that hold blocks."""
        users = [0] * self.num_blocks
        for seq in sequences:
            assert len(set(seq.block_table)) == len(seq.block_table), "a block twice in one table"
            assert len(seq.block_table) == self.num_blocks_for(seq.num_computed_tokens)
            for block_id in seq.block_table:
                users[block_id] += 1
        blank, evictable = set(self._blank), set(self.evictable)
        assert len(blank) == len(self._blank), "a block twice in the blank list"
        assert len(evictable) == len(self.evictable)
        for block in self.blocks:
            num_users = users[block.block_id]
            assert block.ref_count == num_users, (
                f"block {block.block_id} has ref_count {block.ref_count} and {num_users} user(s)"
            )
            assert (block.block_id in blank) == (block.state == "free"), block
            assert (block.block_id in evictable) == (block.state == "cached"), block
            assert block.hash is None or self._by_hash.get(block.hash) is block, (
                f"block {block.block_id} has a hash by which another block, or none, is found"
            )
        for key, block in self._by_hash.items():
            assert block.hash == key, f"block {block.block_id} is found by a hash it has not"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Every block as plain data (see `BlockState`)."""
        return [
            {
                "block_id": block.block_id,
                "ref_count": block.ref_count,
                "hash": block.hash,
                "token_ids": tuple(block.token_ids),
                "state": block.state,
            }
            for block in self.blocks
        ]

    def _num_matchable_blocks(self, seq: Sequence) -> int:
        """Full blocks in front of the last token.

        That one is never part of a match, however much is cached: the logits of the next token
        come from putting it through the model.
        """
        return (len(seq.token_ids) - 1) // self.block_size

    def _num_cacheable_blocks(self, seq: Sequence) -> int:
        """Full blocks of tokens that are both computed and known.

        The newest token is known before it is computed, a token in flight computed before it is
        known.
        """
        return min(seq.num_computed_tokens, len(seq.token_ids)) // self.block_size

    def _take(self, seq: Sequence, events: list[Event]) -> Block:
        """A block without user or content: a blank one, else the next to be evicted."""
        if self._blank:
            return self.blocks[self._blank.pop()]
        block = self.blocks[self.evictable.pop()]
        assert block.hash is not None
        policy = type(self.evictable).__name__
        events.append(BlockEvicted(seq.seq_id, block.block_id, block.hash, policy))
        self._forget(block)
        return block

    def _release(self, block: Block) -> None:
        if block.hash is None:
            self._blank.append(block.block_id)
        else:
            self.evictable.push(block.block_id)

    def _forget(self, block: Block) -> None:
        """The block's memory is about to be overwritten: no one may find its old content."""
        assert block.hash is not None
        del self._by_hash[block.hash]
        self._findable_contents.remove(block.content_id)
        block.hash, block.token_ids = None, ()
        block.content_id = block.parent_content_id = ROOT

    def _cache(self, seq: Sequence, index: int, parent_content_id: int) -> list[Event]:
        """Makes block `index` of `seq` findable, unless its content already is."""
        key = self._hash_of(seq, index)
        known, events = self._by_hash.get(key), list[Event]()
        if known is not None and self._is_orphan(known):
            self._blank_out(known)
            taker = seq.block_table[index]
            events.append(BlockForgotten(seq.seq_id, known.block_id, key, taker))
        elif known is not None:
            is_same = self._holds(known, seq, index, parent_content_id)
            seq.parent_content_id = known.content_id if is_same else None
            return []
        block = self.blocks[seq.block_table[index]]
        block.hash, block.token_ids = key, self._tokens_of(seq, index)
        self._last_content_id += 1
        block.content_id, block.parent_content_id = self._last_content_id, parent_content_id
        seq.parent_content_id = block.content_id
        self._by_hash[key] = block
        self._findable_contents.add(block.content_id)
        return [*events, BlockCached(seq.seq_id, block.block_id, index, key)]

    def _is_orphan(self, block: Block) -> bool:
        """Whether the content in front of it is gone, so that no match can reach this block."""
        return block.parent_content_id not in self._findable_contents

    def _blank_out(self, block: Block) -> None:
        """Makes a findable block unfindable, so that a reachable one can take its hash."""
        if block.ref_count == 0:
            self.evictable.remove(block.block_id)
            self._blank.append(block.block_id)
        self._forget(block)

    def _hash_of(self, seq: Sequence, index: int) -> int:
        """The chained hash of block `index`, computed once per sequence and block."""
        while len(seq.block_hashes) <= index:
            parent = seq.block_hashes[-1] if seq.block_hashes else None
            tokens = self._tokens_of(seq, len(seq.block_hashes))
            seq.block_hashes.append(self._hash(parent, tokens))
        return seq.block_hashes[index]

    def _tokens_of(self, seq: Sequence, index: int) -> "array[int]":
        start = index * self.block_size
        return seq.packed(start, start + self.block_size)

    def _holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int) -> bool:
        """Whether `block` holds exactly the KV of block `index` of `seq`."""
        return block.parent_content_id == parent_content_id and block.token_ids == self._tokens_of(
            seq, index
        )

    def _why_not(self, block: Block) -> str:
        """Why a block with the right hash is no hit."""
        if self._is_orphan(block):
            return "a block has its hash, but the block that one was computed after was evicted"
        return "a block has its hash but other content (a hash collision)"

    def _why_no_more(self, seq: Sequence) -> str:
        """Why a match that found everything it looked for does not go further."""
        rest = len(seq.token_ids) % self.block_size
        if rest == 0:
            return "the last token must be computed to get the next one's logits"
        return f"the rest, {rest} of {self.block_size} tokens, does not fill a block"
