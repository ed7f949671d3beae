"""Seeded bugs: each class is one real kind of defect, as small as it is in the wild.

A mutant differs from its base class in one thing, said in its docstring. Every one is caught
by the random workloads of `tests/engine/workloads.py` (`test_mutants.py` shows it), and none of
them looks wrong at a glance. `THE_EIGHT` are defects known from open-source engines; they live in
`nanovllm_edu/lessons/bugs.py`, where lesson 13 hunts them.
"""

from typing import Any

from nanovllm_edu.core.events import PackedEvent
from nanovllm_edu.core.memory.block_manager import Block, BlockManager, PrefixMatch
from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.core.memory.hash_index import PrefixIndex
from nanovllm_edu.core.plan import Chunk
from nanovllm_edu.core.request.sequence import Sequence, SequenceStatus
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.lessons.bugs import (
    FullyCachedPromptNotRecomputed,
    HashWithoutParent,
    LastBlockHashedEarly,
    MissingRefCount,
    PreemptAndHitKeepsComputedCount,
    SameStepDuplicateReadsTooEarly,
    StaleHashAfterEviction,
    WrongKeyLengthInChunk,
)
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.engine.workloads import Parts


class BlockBoundaryOffByOne(BlockManager):
    """The next block is asked for one token too late."""

    def num_blocks_for(self, num_tokens: int) -> int:
        return -(-(num_tokens - 1) // self.block_size)


class HashBelieved(PrefixIndex):
    """Equal hashes count as equal content."""

    def holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int | None) -> bool:
        return True


class ParentNotCompared(PrefixIndex):
    """A collision in front of a block goes unnoticed, because only its own tokens are compared."""

    def holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int | None) -> bool:
        return block.token_ids == self.tokens_of(seq, index)


class FreedTwice(BlockPool):
    """A blank block enters the free list twice, and then two block tables."""

    def let_go(self, block: Block) -> None:
        super().let_go(block)
        if block.state == "free":
            self._blank.append(block.block_id)


class SharedBlockStaysEvictable(BlockPool):
    """A hit on a free block does not take it out of the eviction order."""

    def use(self, block: Block) -> None:
        was_free = block.ref_count == 0
        super().use(block)
        if was_free:
            self.evictable.push(block.block_id)


class HitsCountedAsFree(PrefixIndex):
    """Free blocks that a match is about to take are promised to the rest of the prompt too."""

    def match(self, seq: Sequence) -> PrefixMatch:
        return super().match(seq)._replace(num_free=0)


class BlocksLeakOnAbort(Queues):
    """An aborted sequence leaves the queues, and its blocks stay taken."""

    def finish(self, seq: Sequence, reason: str, detail: str) -> list[PackedEvent]:
        if reason == "abort" and self.running.pop(seq.seq_id, None):
            assert seq.slot is not None
            self.free_slots.append(seq.slot)
        return super().finish(seq, reason, detail)


class SlotLeakOnPreemption(Queues):
    """A preempted sequence keeps its slot while it waits."""

    def _release(self, seq: Sequence) -> list[PackedEvent]:
        events = super()._release(seq)
        if seq.status is SequenceStatus.RUNNING:
            self.free_slots.pop()
        return events


class TokenAfterAbort(Queues):
    """The token in flight of an aborted sequence is appended after all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._aborted: dict[int, Sequence] = {}

    def finish(self, seq: Sequence, reason: str, detail: str) -> list[PackedEvent]:
        if reason == "abort":
            self._aborted[seq.seq_id] = seq
        return super().finish(seq, reason, detail)

    def find(self, seq_id: int) -> Sequence | None:
        return super().find(seq_id) or self._aborted.get(seq_id)


class DecodesAfterPreemption(Queues):
    """A preempted sequence is resumed as if the device still held its newest token."""

    def _release(self, seq: Sequence) -> list[PackedEvent]:
        is_decoding = seq.is_decoding
        events = super()._release(seq)
        seq.is_decoding = is_decoding
        return events


class RowKeepsItsTail(ChecksumRunner):
    """A new sequence's blocks are appended to the row that the slot's last one left behind."""

    def _store(self, chunk: Chunk) -> bool:
        table = self._block_tables.setdefault(chunk.slot, [])
        return super()._store(chunk._replace(first_block=len(table)))


THE_EIGHT = {
    "stale hash after eviction": Parts(index=StaleHashAfterEviction),
    "last block hashed early": Parts(index=LastBlockHashedEarly),
    "fully cached prompt": Parts(index=FullyCachedPromptNotRecomputed),
    "wrong key length in a chunk": Parts(runner=WrongKeyLengthInChunk),
    "preempt + hit": Parts(block_manager=PreemptAndHitKeepsComputedCount),
    "missing ref count": Parts(pool=MissingRefCount),
    "hash without parent": Parts(index=HashWithoutParent),
    "same-step duplicate": Parts(scheduler=SameStepDuplicateReadsTooEarly),
}

MUTANTS = THE_EIGHT | {
    "block boundary off by one": Parts(block_manager=BlockBoundaryOffByOne),
    "hash believed": Parts(index=HashBelieved),
    "parent not compared": Parts(index=ParentNotCompared),
    "freed twice": Parts(pool=FreedTwice),
    "shared block stays evictable": Parts(pool=SharedBlockStaysEvictable),
    "hits counted as free": Parts(index=HitsCountedAsFree),
    "blocks leak on abort": Parts(queues=BlocksLeakOnAbort),
    "slot leak on preemption": Parts(queues=SlotLeakOnPreemption),
    "token after abort": Parts(queues=TokenAfterAbort),
    "decodes after preemption": Parts(queues=DecodesAfterPreemption),
    "row keeps its tail": Parts(runner=RowKeepsItsTail),
}
