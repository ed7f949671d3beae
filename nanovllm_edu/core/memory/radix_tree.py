"""`RadixTree`: contents are found by walking a tree whose edges are blocks of tokens.

    (root) ── 5 9 2 7 ──► block 3 ── 1 1 8 4 ──► block 6
                 │
                 └── (another first block) ...

Nothing is hashed but the tokens of one edge, so no collision is possible and a hit needs no proof.
A block may be evicted only when nothing is cached behind it: leaves go first, so every cached block
can be reached. Where a prompt leaves the tree inside a block, the match says so: keys and values of
half a block cannot be shared, since its user would write the other half.

A published block's ancestors are in the same block table, so whoever uses a block uses all that is
in front of it. To keep that true, a sequence that computed its own copy of a block that is in the
tree already publishes nothing behind it.

It does not know who uses a block. Source: SGLang's RadixAttention (Zheng et al., 2024), whose edges
hold any number of tokens; one block an edge is the same tree without splitting.
Read next: `core/memory/block_manager.py`.
"""

from array import array
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from nanovllm_edu.core.memory.blocks import Block, chosen
from nanovllm_edu.core.memory.eviction import EvictionPolicy
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.errors import ConfigError


@dataclass(slots=True, eq=False)
class RadixNode:
    """One block in the tree.

    Attributes:
        token_ids: On the edge that leads to it.
        parent: None for the root.
        block: Where its keys and values are; None for the root.
        children: By the bytes of their tokens.
    """

    token_ids: "array[int]"
    parent: "RadixNode | None" = None
    block: Block | None = None
    children: "dict[bytes, RadixNode]" = field(default_factory=dict[bytes, "RadixNode"])

    @property
    def hash(self) -> None:
        """A tree needs none."""
        return

    def __deepcopy__(self, memo: dict[int, Any]) -> "RadixNode":
        """A copy of the whole tree: without recursion, for it is as deep as a prompt has blocks."""
        root = self
        while root.parent is not None:
            root = root.parent
        nodes = [root]
        for node in nodes:  # it grows meanwhile
            parent = memo.get(id(node.parent))
            twin = memo[id(node)] = RadixNode(node.token_ids, parent)
            if parent is not None:
                parent.children[node.token_ids.tobytes()] = twin
            nodes += node.children.values()
        for node in nodes:
            memo[id(node)].block = deepcopy(node.block, memo)
        return memo[id(self)]


@dataclass(slots=True, eq=False)
class RadixLease:
    """What is remembered of one sequence.

    Attributes:
        token_ids: Its tokens.
        newest: The node of its last block in the tree; None if it publishes nothing further.
        num_published: Leading blocks that are in the tree.
        epoch: When it began: see `RadixTree.forget_all`.
    """

    token_ids: "array[int]"
    newest: RadixNode | None
    num_published: int = 0
    epoch: int = 0


class RadixTree:
    """From tokens to blocks, one block an edge."""

    def __init__(self, blocks: list[Block], block_size: int) -> None:
        self.block_size = block_size
        self._blocks = blocks
        self._root = RadixNode(array(TOKEN_TYPE))
        self._epoch = 0

    def lease(self, token_ids: "array[int]") -> RadixLease:
        return RadixLease(token_ids, self._root, epoch=self._epoch)

    def match(self, lease: RadixLease, num_blocks: int) -> PrefixMatch:
        found: list[int] = []
        num_free = 0
        node, reason = self._root, ""
        for index in range(num_blocks):
            token_ids = self._tokens(lease, index)
            child = node.children.get(token_ids.tobytes())
            if child is None:
                reason = self._why_not(node, token_ids)
                break
            assert child.block is not None
            found.append(child.block.block_id)
            num_free += child.block.ref_count == 0
            node = child
        return PrefixMatch(tuple(found), num_free, len(found) * self.block_size, reason)

    def use(self, lease: RadixLease, match: PrefixMatch) -> None:
        self.release(lease)  # it may have waited since before everything was forgotten
        if match.block_ids:
            lease.num_published = len(match.block_ids)
            content = self._blocks[match.block_ids[-1]].content
            assert isinstance(content, RadixNode)
            lease.newest = content

    def inherit(self, lease: RadixLease, other: RadixLease, num_blocks: int) -> None:
        lease.epoch, lease.num_published = other.epoch, min(other.num_published, num_blocks)
        lease.newest = other.newest
        for _ in range(num_blocks, other.num_published):
            lease.newest = lease.newest and lease.newest.parent

    def publish(self, lease: RadixLease, block_table: list[int], num_tokens: int) -> list[int]:
        new: list[int] = []
        for index in range(lease.num_published, num_tokens // self.block_size):
            node = lease.newest
            if node is None or lease.epoch != self._epoch:
                break
            token_ids = self._tokens(lease, index)
            key, block = token_ids.tobytes(), self._blocks[block_table[index]]
            if key in node.children:
                lease.newest = None
                break
            child = node.children[key] = RadixNode(token_ids, node, block)
            block.content = lease.newest = child
            lease.num_published += 1
            new.append(index)
        return new

    def release(self, lease: RadixLease) -> None:
        lease.newest, lease.num_published, lease.epoch = self._root, 0, self._epoch

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, RadixNode]:
        # In order of last use the first one is a leaf already; another policy may name a parent.
        for block_id in evictable:
            node = chosen(self._blocks, block_id, evictable).content
            assert isinstance(node, RadixNode)
            if not node.children:
                break
        else:
            raise ConfigError(
                f"{evictable!r} names no block that nothing is cached behind, of {len(evictable)}; "
                "its __iter__ must yield every block that was pushed and not removed since."
            )
        evictable.discard(block_id)
        parent, self._blocks[block_id].content = node.parent, None
        assert parent is not None
        del parent.children[node.token_ids.tobytes()]
        return block_id, node

    def forget_all(self) -> None:
        self._root = RadixNode(array(TOKEN_TYPE))
        self._epoch += 1

    def _tokens(self, lease: RadixLease, index: int) -> "array[int]":
        start = index * self.block_size
        return lease.token_ids[start : start + self.block_size]

    def _why_not(self, node: RadixNode, token_ids: "array[int]") -> str:
        """Why no child of `node` is a hit: the nearest one may have the same beginning."""
        nearest = max(
            node.children.values(),
            key=lambda child: _num_equal(child.token_ids, token_ids),
            default=None,
        )
        num_equal = _num_equal(nearest.token_ids, token_ids) if nearest else 0
        if nearest is None or nearest.block is None or num_equal == 0:
            return "no block behind the last one begins like it (never computed, or evicted)"
        return (
            f"block {nearest.block.block_id} has its first {num_equal} of {self.block_size} tokens "
            "and then others, and a block is shared whole or not at all"
        )

    def check_invariants(self) -> None:
        nodes = list(self._root.children.values())
        seen: set[int] = set()
        while nodes:
            node = nodes.pop()
            assert node.block is not None
            assert node.block.content is node
            assert node.block.block_id not in seen
            seen.add(node.block.block_id)
            for key, child in node.children.items():
                assert child.parent is node
                assert child.token_ids.tobytes() == key
                assert child.block is not None
                assert node.block.ref_count >= child.block.ref_count, "a user skips a block"
            nodes += node.children.values()
        assert seen == {block.block_id for block in self._blocks if block.content is not None}


def _num_equal(left: Iterable[int], right: Iterable[int]) -> int:
    """How many tokens two blocks have in common at their beginning."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
