"""`BlockPool`: which blocks of the KV cache are free, and which one is handed out next.

A block is `block_size` slots of KV memory. It is always in one of three states:

    used     ref_count > 0; one or more block tables point at it
    cached   ref_count == 0, but a prefix match can still find it: free until somebody needs it
    free     blank: no user, no findable content

Blank blocks are handed out first; only when there is none is a cached block evicted. Every
operation is O(1).

It does not know whose a block is or how its content is found. Read next: `core/memory/eviction.py`,
then `core/memory/prefix_cache.py`.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

from nanovllm_edu.core.memory.eviction import LRU, EvictionPolicy
from nanovllm_edu.errors import ConfigError


class Content(Protocol):
    """What a findable block holds, as a prefix cache keeps it."""

    @property
    def token_ids(self) -> Seq[int]:
        """The block's tokens."""
        ...

    @property
    def hash(self) -> int | None:
        """By which it is found; None if it is found otherwise."""
        ...


@dataclass(slots=True, eq=False)
class Block:
    """One physical block. `content` is None unless it is findable."""

    block_id: int
    ref_count: int = 0
    content: Content | None = None

    @property
    def state(self) -> str:
        """`"used"`, `"cached"` or `"free"`."""
        if self.ref_count:
            return "used"
        return "free" if self.content is None else "cached"


def chosen(blocks: list[Block], block_id: int, policy: EvictionPolicy) -> Block:
    """The block that a policy would evict.

    Raises:
        ConfigError: It is in use or holds nothing. A policy may be a learner's first attempt.
    """
    block = blocks[block_id] if 0 <= block_id < len(blocks) else None
    if block is None or block.state != "cached":
        state = "not a block" if block is None else block.state
        raise ConfigError(
            f"{policy!r} would evict block {block_id!r}, which is {state}; it may name only blocks "
            "that were pushed and not removed since."
        )
    return block


class BlockPool:
    """All blocks of one KV cache, with the number of users of each.

    Attributes:
        blocks: By block id.
        evictable: The cached ones, next to be evicted first.
        blank: The ids of those without content; a stack.
    """

    def __init__(
        self, num_blocks: int, eviction_policy: Callable[[], EvictionPolicy] = LRU
    ) -> None:
        if num_blocks < 1:
            raise ConfigError(
                f"num_blocks={num_blocks} is below 1: the KV cache has no room for a single block; "
                "raise num_blocks or gpu_memory_utilization."
            )
        self.blocks = [Block(block_id) for block_id in range(num_blocks)]
        self.evictable: EvictionPolicy = eviction_policy()
        self._new_eviction_policy = eviction_policy
        self.blank = list(range(num_blocks - 1, -1, -1))  # block 0 is handed out first

    @property
    def num_free_blocks(self) -> int:
        """Blocks that can be handed out: blank ones and cached ones without a user."""
        return len(self.blank) + len(self.evictable)

    def allocate_blank(self) -> Block:
        """A block without content, for one new user."""
        block = self.blocks[self.blank.pop()]
        block.ref_count = 1
        return block

    def add_blank(self, block_id: int) -> None:
        """A cached block was evicted: it can be handed out again."""
        self.blank.append(block_id)

    def add_ref(self, block: Block) -> None:
        """One user more for a block that was found."""
        if block.ref_count == 0:
            self.evictable.remove(block.block_id)
        block.ref_count += 1

    def release(self, block: Block) -> None:
        """One user less. Without any, the block is free."""
        assert block.ref_count > 0, f"block {block.block_id} is released more often than taken"
        block.ref_count -= 1
        if block.ref_count == 0 and block.content is None:
            self.blank.append(block.block_id)
        elif block.ref_count == 0:
            self.evictable.push(block.block_id)

    def blank_out_all(self) -> None:
        """No content is worth anything any more."""
        self.blank += reversed(list(self.evictable))
        self.evictable = self._new_eviction_policy()
        for block in self.blocks:
            block.content = None

    def check_invariants(self, num_users: list[int]) -> None:
        """Fails an assertion if a block is not exactly one of used, cached and free.

        Args:
            num_users: How many block tables hold each block.
        """
        blank, evictable = set(self.blank), set(self.evictable)
        assert len(blank) == len(self.blank), "a block twice in the blank list"
        assert len(evictable) == len(self.evictable)
        for block, users in zip(self.blocks, num_users, strict=True):
            assert block.ref_count == users, (
                f"block {block.block_id} has ref_count {block.ref_count} and {users} user(s)"
            )
            assert (block.block_id in blank) == (block.state == "free"), block
            assert (block.block_id in evictable) == (block.state == "cached"), block
