"""`PrefixIndex`: which replica has probably cached how much of a prompt.

A router stands in front of the replicas and cannot look into their caches. It remembers what it
sent where, block by block, each block's hash chained to the one in front of it: as the replicas
themselves do (`core/memory/block_hash.py`). The oldest blocks are forgotten first, as in their
caches.

It is a guess: a replica may have evicted a block long ago. A wrong guess costs time, never a token.

Read next: `router.py`, whose routers ask it.
"""

from collections import OrderedDict
from collections.abc import Iterator

from nanovllm_edu.core.memory.block_hash import block_hash


class PrefixIndex:
    """Hash of a block -> replicas that computed it.

    Args:
        block_size: Tokens in a block of the replicas.
        num_blocks: Remembers at most so many.
    """

    def __init__(self, block_size: int, num_blocks: int) -> None:
        self.block_size, self.num_blocks = block_size, num_blocks
        self._seen: OrderedDict[int, set[int]] = OrderedDict()

    def lengths(self, prompt: list[int]) -> dict[int, int]:
        """Replica -> tokens of the prompt that it probably has, of those that have any."""
        found: dict[int, int] = {}
        for count, key in enumerate(self._keys(prompt), 1):
            holders = self._seen.get(key, set[int]())
            reached = {i for i in holders if found.get(i, 0) == (count - 1) * self.block_size}
            if not reached:
                break
            found.update(dict.fromkeys(reached, count * self.block_size))
        return found

    def add(self, prompt: list[int], replica: int) -> None:
        """The prompt was sent there."""
        for key in self._keys(prompt):
            self._seen.setdefault(key, set()).add(replica)
            self._seen.move_to_end(key)
        while len(self._seen) > self.num_blocks:
            self._seen.popitem(last=False)

    def forget(self, replica: int) -> None:
        """Its cache is empty."""
        for holders in self._seen.values():
            holders.discard(replica)

    def _keys(self, prompt: list[int]) -> Iterator[int]:
        parent: int | None = None
        for end in range(self.block_size, len(prompt) + 1, self.block_size):
            parent = block_hash(parent, prompt[end - self.block_size : end])
            yield parent
