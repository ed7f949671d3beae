"""`BlockManager`: which sequence owns which blocks of the KV cache.

It writes the block tables: what a match found is shared, what is missing is allocated, what became
full is published, and in the end everything is given back. Two books know the rest:

    blocks.py          which blocks are free, and which one is handed out next
    prefix_cache.py    which contents can be found, and in which blocks

Nothing here touches memory or knows about steps and queues: it is bookkeeping over integers, every
operation O(1) per block.

Source: PagedAttention (Kwon et al., 2023) and vLLM's automatic prefix caching.
Read next: these two, in this order; then `core/schedule/scheduler.py`.
"""

from collections.abc import Callable, Iterable

from nanovllm_edu.core.events import (
    BlockEvicted,
    BlocksAllocated,
    BlocksCached,
    BlocksFreed,
    Event,
)
from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.blocks import Block, BlockPool
from nanovllm_edu.core.memory.eviction import LRU, EvictionPolicy
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.memory.prefix_cache import Lease, NoCache, PrefixCache, PrefixMatch
from nanovllm_edu.core.memory.radix_tree import RadixTree
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.errors import ConfigError

PREFIX_CACHES = ("hash", "radix")
"""What `prefix_cache` may be."""


class BlockManager:
    """Allocates, shares, publishes and frees the blocks of one KV cache.

    Attributes:
        block_size: Token slots in a block.
        pool: The blocks.
        cache: What is in them.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        *,
        prefix_cache: str | None = "hash",
        eviction_policy: Callable[[], EvictionPolicy] = LRU,
        hash_function: HashFunction = block_hash,
    ) -> None:
        """Creates `num_blocks` blank blocks of `block_size` token slots each.

        Args:
            num_blocks: At least 1.
            block_size: At least 1.
            prefix_cache: "hash" or "radix"; None finds and shares nothing.
            eviction_policy: Makes the order in which cached blocks go.
            hash_function: Of `HashIndex`.

        Raises:
            ConfigError: A number is below 1, or there is no such cache.
        """
        if block_size < 1:
            raise ConfigError(f"block_size={block_size} is below 1; a block holds >= 1 token.")
        self.block_size = block_size
        self.pool = BlockPool(num_blocks, eviction_policy)
        self.cache: PrefixCache
        match prefix_cache:
            case None:
                self.cache = NoCache()
            case "hash":
                self.cache = HashIndex(self.pool.blocks, block_size, hash_function)
            case "radix":
                self.cache = RadixTree(self.pool.blocks, block_size)
            case _:
                known = ", ".join(map(repr, PREFIX_CACHES))
                raise ConfigError(f"prefix_cache={prefix_cache!r} is not one of {known}.")
        self._leases: dict[int, Lease] = {}

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
        match = self.cache.match(self._lease(seq), self.num_matchable_blocks(seq))
        if match.stopped_because:
            return match
        if rest := len(seq.token_ids) % self.block_size:
            reason = f"the rest, {rest} of {self.block_size} tokens, does not fill a block"
        else:
            reason = "the last token must be computed to get the next one's logits"
        return match._replace(stopped_because=reason)

    def num_matchable_blocks(self, seq: Sequence) -> int:
        """Full blocks in front of the last token.

        That one is never part of a match, however much is cached: the logits of the next token
        come from putting it through the model.
        """
        return (len(seq.token_ids) - 1) // self.block_size

    def share(self, seq: Sequence, match: PrefixMatch) -> None:
        """Makes the matched blocks the head of the (empty) block table of `seq`."""
        assert not seq.block_table, "a sequence takes its prefix before any other block"
        if match.from_seq_id is None:
            self.cache.use(self._lease(seq), match)
        else:
            other = self._leases[match.from_seq_id]
            self.cache.inherit(self._lease(seq), other, len(match.block_ids))
        for block_id in match.block_ids:
            self.pool.add_ref(self.blocks[block_id])
        seq.block_table.extend(match.block_ids)
        seq.num_computed_tokens = match.num_tokens

    def allocate(self, seq: Sequence, end: int) -> list[Event]:
        """Extends the block table of `seq` so that it holds tokens [0, end).

        The caller has checked that `num_new_blocks(seq, end) <= num_free_blocks`.
        """
        first, num_needed = len(seq.block_table), self.num_blocks_for(end)
        if num_needed <= first:
            return []
        events: list[Event] = []
        for _ in range(first, num_needed):
            if not self.pool.blank:
                events.append(self._evict(seq))
            seq.block_table.append(self.pool.allocate_blank().block_id)
        events.append(BlocksAllocated(seq.seq_id, tuple(seq.block_table[first:]), first, end))
        return events

    def _evict(self, seq: Sequence) -> BlockEvicted:
        """Makes one cached block blank, for `seq` to take."""
        block_id, content = self.cache.reclaim(self.evictable)
        self.pool.add_blank(block_id)
        policy = type(self.evictable).__name__
        return BlockEvicted(seq.seq_id, block_id, content.hash, policy)

    def publish(self, seq: Sequence) -> list[Event]:
        """Makes findable each block of `seq` that is full, computed, and of known tokens."""
        table = seq.block_table
        indices = self.cache.publish(self._leases[seq.seq_id], table, seq.num_settled_computed)
        if not indices:
            return []
        block_ids = tuple([table[index] for index in indices])
        contents = [self.blocks[block_id].content for block_id in block_ids]
        hashes = tuple([c.hash for c in contents if c is not None and c.hash is not None])
        return [BlocksCached(seq.seq_id, block_ids, tuple(indices), hashes)]

    def trim(self, seq: Sequence, end: int) -> list[Event]:
        """Gives back the blocks of `seq` that tokens [0, end) do not need."""
        surplus = seq.block_table[self.num_blocks_for(end) :]
        if not surplus:
            return []
        del seq.block_table[-len(surplus) :]
        seq.forget_table()
        return [self._release(seq, surplus)]

    def free(self, seq: Sequence) -> list[Event]:
        """Takes every block from `seq`, last one first, so that a prefix outlives its tail."""
        block_ids, seq.block_table = seq.block_table, []
        seq.num_computed_tokens = 0
        self.cache.release(self._lease(seq))
        return [self._release(seq, block_ids)] if block_ids else []

    def forget(self, seq: Sequence) -> None:
        """The sequence is gone, and will not be looked up again."""
        self._leases.pop(seq.seq_id, None)

    def reset_prefix_cache(self) -> None:
        """Forgets all findable content. Running sequences keep their blocks."""
        self.pool.blank_out_all()
        self.cache.forget_all()

    def _lease(self, seq: Sequence) -> Lease:
        lease = self._leases.get(seq.seq_id)
        if lease is None:
            lease = self._leases[seq.seq_id] = self.cache.lease(seq.token_ids)
        return lease

    def _release(self, seq: Sequence, block_ids: list[int]) -> BlocksFreed:
        freed = [self.blocks[block_id] for block_id in reversed(block_ids)]
        for block in freed:
            self.pool.release(block)
        return BlocksFreed(
            seq.seq_id,
            tuple([block.block_id for block in freed]),
            tuple([block.ref_count for block in freed]),
            tuple([block.content is not None for block in freed]),
        )

    def check_invariants(self, running: list[Sequence], waiting: Iterable[Sequence] = ()) -> None:
        """Fails an assertion if the books do not balance. `running`: all that hold blocks."""
        num_users = [0] * self.num_blocks
        for seq in running:
            assert len(set(seq.block_table)) == len(seq.block_table), "a block twice in one table"
            assert len(seq.block_table) == self.num_blocks_for(seq.num_computed_tokens)
            for block_id in seq.block_table:
                num_users[block_id] += 1
        self.pool.check_invariants(num_users)
        self.cache.check_invariants()
        known = {seq.seq_id for seq in (*running, *waiting)}
        assert self._leases.keys() <= known, "a lease outlives its sequence"
