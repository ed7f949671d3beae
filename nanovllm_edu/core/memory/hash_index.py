"""`HashIndex`: contents are found by the chained hash of their blocks. The default cache.

A hit is proved, not believed: a content is looked up by its hash, then its tokens are compared, and
its parent must be the very content matched just before it. So no collision, in the block or
anywhere in front of it, can serve the KV of another prompt.

Contents form a tree, each knowing its parent, while a dictionary leads to any of them at once. When
a block is evicted its content stays as long as others stand behind it: they are found again as soon
as somebody computes the missing one anew.

It does not know who uses a block. Source: vLLM's automatic prefix caching.
Read next: `core/memory/block_hash.py`; then its sibling, `core/memory/radix_tree.py`.
"""

from array import array
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.blocks import Block, chosen
from nanovllm_edu.core.memory.eviction import EvictionPolicy
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.request.sequence import TOKEN_TYPE


@dataclass(slots=True, eq=False)
class HashedContent:
    """The content of one full block, behind all that is in front of it.

    Attributes:
        hash: The chained hash.
        token_ids: The block's tokens.
        parent: The content in front of it; None in front of the first block, and there alone.
        block: Where it is in memory; None if that block was evicted.
        num_children: Contents behind it.
    """

    hash: int
    token_ids: "array[int]"
    parent: "HashedContent | None"
    block: Block | None = None
    num_children: int = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "HashedContent":
        """A copy, and of all in front of it: without recursion, for prompts have many blocks."""
        path: list[HashedContent] = []
        content: HashedContent | None = self
        while content is not None and id(content) not in memo:
            path.append(content)
            content = content.parent
        for each in reversed(path):
            parent = memo.get(id(each.parent))
            twin = HashedContent(each.hash, each.token_ids, parent, None, each.num_children)
            memo[id(each)] = twin
        for each in path:
            memo[id(each)].block = deepcopy(each.block, memo)
        return memo[id(self)]


@dataclass(slots=True, eq=False)
class HashLease:
    """What is remembered of one sequence.

    Attributes:
        token_ids: Its tokens.
        newest: The content of its last published block; None after a hash collision, when nothing
            further of it is published.
        hashes: Chained hash of each full block, extended when needed.
        num_published: Leading blocks that are findable, or of which a findable copy exists.
        epoch: When it began: see `HashIndex.forget_all`.
    """

    token_ids: "array[int]"
    newest: HashedContent | None
    hashes: list[int]
    num_published: int = 0
    epoch: int = 0


class HashIndex:
    """From hash to content, and from content to block."""

    def __init__(
        self, blocks: list[Block], block_size: int, hash_function: HashFunction = block_hash
    ) -> None:
        self.block_size = block_size
        self._blocks = blocks
        self._hash = hash_function
        self._contents: dict[int, HashedContent] = {}
        self._root = HashedContent(0, array(TOKEN_TYPE), None)
        self._epoch = 0

    def lease(self, token_ids: "array[int]") -> HashLease:
        return HashLease(token_ids, self._root, [], epoch=self._epoch)

    def match(self, lease: HashLease, num_blocks: int) -> PrefixMatch:
        found: list[int] = []
        num_free = 0
        parent, reason = self._root, ""
        for index in range(num_blocks):
            content = self._contents.get(self._hash_of(lease, index))
            block = content and content.block
            if content is None or block is None or not self._holds(content, lease, index, parent):
                reason = self._why_not(content, lease, index, parent)
                break
            found.append(block.block_id)
            num_free += block.ref_count == 0
            parent = content
        return PrefixMatch(tuple(found), num_free, len(found) * self.block_size, reason)

    def use(self, lease: HashLease, match: PrefixMatch) -> None:
        self.release(lease)  # it may have waited since before everything was forgotten
        if match.block_ids:
            lease.num_published = len(match.block_ids)
            lease.newest = self._contents[lease.hashes[lease.num_published - 1]]

    def inherit(self, lease: HashLease, other: HashLease, num_blocks: int) -> None:
        lease.epoch, lease.num_published = other.epoch, min(other.num_published, num_blocks)
        lease.newest = other.newest
        for _ in range(num_blocks, other.num_published):
            lease.newest = lease.newest and lease.newest.parent

    def publish(self, lease: HashLease, block_table: list[int], num_tokens: int) -> list[int]:
        num_full = num_tokens // self.block_size
        if num_full <= lease.num_published or lease.newest is None or lease.epoch != self._epoch:
            return []
        if lease.newest is not self._root and lease.newest.block is None:
            # Somebody else's copy of what is in front was evicted: offer the sequence's own.
            lease.newest, lease.num_published = self._root, 0
        new: list[int] = []
        for index in range(lease.num_published, num_full):
            content = self._content_of(lease, index)
            lease.newest = content
            if content is None:
                break
            if content.block is None:
                content.block = block = self._blocks[block_table[index]]
                block.content = content
                new.append(index)
        lease.num_published = num_full
        return new

    def release(self, lease: HashLease) -> None:
        lease.newest, lease.num_published, lease.epoch = self._root, 0, self._epoch

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, HashedContent]:
        block = chosen(self._blocks, evictable.pop(), evictable)
        content = block.content
        assert isinstance(content, HashedContent)
        block.content = content.block = None
        self._prune(content)
        return block.block_id, content

    def forget_all(self) -> None:
        self._contents.clear()
        self._root = HashedContent(0, array(TOKEN_TYPE), None)
        self._epoch += 1

    def _content_of(self, lease: HashLease, index: int) -> HashedContent | None:
        """The content of block `index`, made if it is new; None if the hash is taken by another."""
        parent, key = lease.newest, self._hash_of(lease, index)
        assert parent is not None
        content = self._contents.get(key)
        if content is None:
            content = HashedContent(key, self._tokens(lease, index), parent)
            self._contents[key] = content
            parent.num_children += 1
        elif not self._holds(content, lease, index, parent):
            return None
        return content

    def _prune(self, content: HashedContent) -> None:
        """Drops contents that are in no block and have none behind them."""
        while content.block is None and not content.num_children and content.parent is not None:
            del self._contents[content.hash]
            content = content.parent
            content.num_children -= 1

    def _hash_of(self, lease: HashLease, index: int) -> int:
        """The chained hash of block `index`, computed once per sequence and block."""
        hashes = lease.hashes
        while len(hashes) <= index:
            parent = hashes[-1] if hashes else None
            hashes.append(self._hash(parent, self._tokens(lease, len(hashes))))
        return hashes[index]

    def _tokens(self, lease: HashLease, index: int) -> "array[int]":
        start = index * self.block_size
        return lease.token_ids[start : start + self.block_size]

    def _holds(
        self, content: HashedContent, lease: HashLease, index: int, parent: HashedContent
    ) -> bool:
        """The proof: whether this is the content of block `index` behind `parent`."""
        return content.parent is parent and content.token_ids == self._tokens(lease, index)

    def _why_not(
        self, content: HashedContent | None, lease: HashLease, index: int, parent: HashedContent
    ) -> str:
        if content is None:
            return "no block has its hash (never computed, or evicted)"
        if not self._holds(content, lease, index, parent):
            return "its hash belongs to another content (a hash collision)"
        return "its block was evicted, though blocks that were computed after it are still there"

    def check_invariants(self) -> None:
        children: dict[int, int] = {}
        for key, content in self._contents.items():
            assert content.hash == key
            assert content.block is None or content.block.content is content
            assert content.block is not None or content.num_children, "a content nobody needs"
            parent = content.parent
            assert parent is self._root or (
                parent is not None and self._contents.get(parent.hash) is parent
            ), "a content whose parent cannot be found"
            children[id(parent)] = children.get(id(parent), 0) + 1
        for content in (self._root, *self._contents.values()):
            assert content.num_children == children.get(id(content), 0)
        for block in self._blocks:
            content = block.content
            assert content is None or self._contents.get(content.hash or 0) is content
