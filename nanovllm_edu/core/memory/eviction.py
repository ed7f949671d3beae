"""Which free-but-cached block is given up first when a new block is needed.

An eviction policy is an ordered set of block ids, nothing more: it never sees tokens, hashes or
sequences. Each operation is O(1) (FIFO: amortised).

Read next: `core/memory/blocks.py`, its only caller.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol


class EvictionPolicy(Protocol):
    """The set of blocks that nobody uses but that still hold findable KV."""

    def push(self, block_id: int) -> None:
        """A cached block lost its last user."""
        ...

    def remove(self, block_id: int) -> None:
        """A block in the set was found by a prefix match and is used again."""
        ...

    def pop(self) -> int:
        """Takes out the block to evict. The set is not empty."""
        ...

    def discard(self, block_id: int) -> None:
        """A block in the set is evicted out of its turn (only `prefix_cache="radix"` asks)."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[int]:
        """Block ids, next to be evicted first."""
        ...


class LRU:
    """Least recently used: the block that has been free the longest goes first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def push(self, block_id: int) -> None:
        self._blocks[block_id] = None

    def remove(self, block_id: int) -> None:
        del self._blocks[block_id]

    def pop(self) -> int:
        return self._blocks.popitem(last=False)[0]

    def discard(self, block_id: int) -> None:
        del self._blocks[block_id]

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[int]:
        return iter(self._blocks)


class FIFO:
    """First in, first out: being used again does not save a block from its turn.

    A block keeps its place in the line while it is in use. One whose turn comes then is overdue:
    it leaves first of all once it is free.
    """

    def __init__(self) -> None:
        self._line: OrderedDict[int, bool] = OrderedDict()  # block id -> is it free?
        self._missed_turn: set[int] = set()
        self._overdue: OrderedDict[int, None] = OrderedDict()
        self._num_free = 0

    def push(self, block_id: int) -> None:
        self._num_free += 1
        if block_id in self._missed_turn:
            self._missed_turn.remove(block_id)
            self._overdue[block_id] = None
        else:
            self._line[block_id] = True  # an existing key keeps its place

    def remove(self, block_id: int) -> None:
        self._num_free -= 1
        if block_id in self._line:
            self._line[block_id] = False
        else:
            del self._overdue[block_id]
            self._missed_turn.add(block_id)

    def pop(self) -> int:
        self._num_free -= 1
        if self._overdue:
            return self._overdue.popitem(last=False)[0]
        while True:
            block_id, is_free = self._line.popitem(last=False)
            if is_free:
                return block_id
            self._missed_turn.add(block_id)

    def discard(self, block_id: int) -> None:
        self._num_free -= 1
        if block_id in self._line:
            del self._line[block_id]
        else:
            del self._overdue[block_id]

    def __len__(self) -> int:
        return self._num_free

    def __iter__(self) -> Iterator[int]:
        yield from self._overdue
        yield from (block_id for block_id, is_free in self._line.items() if is_free)
