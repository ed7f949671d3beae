"""`PrefixCache`: how one request finds another's work. The seam between blocks and their contents.

A prompt is looked up block by block, from the front, until one is missing. What differs between
caches is how a content is found and which cached block may go first:

    HashIndex    core/memory/hash_index.py    by a chained hash, proved by the tokens
    RadixTree    core/memory/radix_tree.py    by walking a tree of tokens; leaves go first
    NoCache      here                         nothing is ever found

What a cache remembers of one sequence is a `Lease`, which only that cache can read. A sequence
itself knows nothing of it.

Read next: `core/memory/hash_index.py`.
"""

from array import array
from typing import Any, NamedTuple, Protocol

from nanovllm_edu.core.memory.blocks import Content
from nanovllm_edu.core.memory.eviction import EvictionPolicy


class PrefixMatch(NamedTuple):
    """The leading blocks of a sequence that are already computed, and why there are not more."""

    block_ids: tuple[int, ...]
    num_free: int
    """How many of these blocks have no user now: taking them uses up free blocks."""
    num_tokens: int
    """Tokens in these blocks."""
    stopped_because: str
    """Empty if every block that was looked for was found."""
    from_seq_id: int | None = None
    """The sequence whose blocks they are, if they were not looked up but are its own."""


Lease = Any
"""What a cache remembers of one sequence: made by `lease`, read by that cache alone."""


class PrefixCache(Protocol):
    """Which contents can be found, and in which blocks."""

    def lease(self, token_ids: "array[int]") -> Lease:
        """Begins to remember a sequence. `token_ids` grows with it."""
        ...

    def match(self, lease: Lease, num_blocks: int) -> PrefixMatch:
        """Finds the longest run of its first `num_blocks` blocks that are already computed."""
        ...

    def use(self, lease: Lease, match: PrefixMatch) -> None:
        """The sequence begins with the blocks that were found."""
        ...

    def inherit(self, lease: Lease, other: Lease, num_blocks: int) -> None:
        """The sequence begins with the first blocks of another, findable or not."""
        ...

    def publish(self, lease: Lease, block_table: list[int], num_tokens: int) -> list[int]:
        """Makes full blocks of a sequence findable, and returns their logical indices.

        A block whose content another block already holds stays private: one findable copy is
        enough.

        Args:
            lease: The sequence's.
            block_table: Its blocks.
            num_tokens: Tokens of it that are both computed and known.
        """
        ...

    def release(self, lease: Lease) -> None:
        """The sequence has given its blocks back; it may begin again."""
        ...

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, Content]:
        """Takes the block that must go out of `evictable`, and forgets what it held."""
        ...

    def forget_all(self) -> None:
        """Nothing can be found any more, and what runs now publishes nothing until it restarts."""
        ...

    def check_invariants(self) -> None:
        """Fails an assertion if contents and blocks contradict each other."""
        ...


class NoCache:
    """Finds nothing, remembers nothing."""

    def lease(self, token_ids: "array[int]") -> Lease:
        return None

    def match(self, lease: Lease, num_blocks: int) -> PrefixMatch:
        return PrefixMatch((), 0, 0, "prefix caching is off")

    def use(self, lease: Lease, match: PrefixMatch) -> None:
        """There is nothing to use."""

    def inherit(self, lease: Lease, other: Lease, num_blocks: int) -> None:
        """Nothing is remembered."""

    def publish(self, lease: Lease, block_table: list[int], num_tokens: int) -> list[int]:
        return []

    def release(self, lease: Lease) -> None:
        """Nothing is remembered."""

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, Content]:
        raise AssertionError("without a cache no block is ever cached")

    def forget_all(self) -> None:
        """Nothing is remembered."""

    def check_invariants(self) -> None:
        """There is nothing to contradict."""
