"""Seeded bugs: each class is one real kind of defect, as small as it is in the wild.

A mutant differs from its base class in one thing, said in its docstring. Every one is caught
by the random workloads of `tests/engine/workloads.py` (`test_mutants.py` shows it), and none of
them looks wrong at a glance. `THE_EIGHT` are defects known from open-source engines.
"""

from dataclasses import replace
from typing import Any

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block, BlockPool
from nanovllm_edu.core.memory.eviction import EvictionPolicy
from nanovllm_edu.core.memory.hash_index import HashedContent, HashIndex, HashLease
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.memory.radix_tree import RadixLease, RadixNode, RadixTree
from nanovllm_edu.core.plan import Joined, Span, StepPlan
from nanovllm_edu.core.request.ending import Ending
from nanovllm_edu.core.request.sequence import Sequence, SequenceStatus
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.scheduler import Scheduler
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
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket, sample
from tests.engine.workloads import Parts


class BlockBoundaryOffByOne(BlockManager):
    """The next block is asked for one token too late."""

    def num_blocks_for(self, num_tokens: int) -> int:
        return -(-(num_tokens - 1) // self.block_size)


class HashBelieved(HashIndex):
    """Equal hashes count as equal content."""

    def _holds(
        self, content: HashedContent, lease: HashLease, index: int, parent: HashedContent
    ) -> bool:
        return True


class ParentNotCompared(HashIndex):
    """A collision in front of a block goes unnoticed, because only its own tokens are compared."""

    def _holds(
        self, content: HashedContent, lease: HashLease, index: int, parent: HashedContent
    ) -> bool:
        return content.token_ids == self._tokens(lease, index)


class ContentGoesWithItsBlock(HashIndex):
    """An evicted content is forgotten at once, also by those that stand behind it."""

    def _prune(self, content: HashedContent) -> None:
        del self._contents[content.hash]


class FreedTwice(BlockPool):
    """A blank block enters the free list twice, and then two block tables."""

    def release(self, block: Block) -> None:
        super().release(block)
        if block.state == "free":
            self.blank.append(block.block_id)


class SharedBlockStaysEvictable(BlockPool):
    """A hit on a free block does not take it out of the eviction order."""

    def add_ref(self, block: Block) -> None:
        was_free = block.ref_count == 0
        super().add_ref(block)
        if was_free:
            self.evictable.push(block.block_id)


class HitsCountedAsFree(HashIndex):
    """Free blocks that a match is about to take are promised to the rest of the prompt too."""

    def match(self, lease: HashLease, num_blocks: int) -> PrefixMatch:
        return super().match(lease, num_blocks)._replace(num_free=0)


class ParentEvictedBeforeItsChildren(RadixTree):
    """The block that has been free the longest goes, whatever the tree keeps behind it."""

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, RadixNode]:
        block = self._blocks[evictable.pop()]
        node, block.content = block.content, None
        assert isinstance(node, RadixNode)
        assert node.parent is not None
        del node.parent.children[node.token_ids.tobytes()]
        return block.block_id, node


class PrivateCopyHasChildren(RadixTree):
    """Behind its own copy of a block that is in the tree, a sequence publishes the next ones."""

    def publish(self, lease: RadixLease, block_table: list[int], num_tokens: int) -> list[int]:
        new = super().publish(lease, block_table, num_tokens)
        index = lease.num_published
        if lease.newest is None and num_tokens // self.block_size > index:
            lease.newest = self._node_of(lease, index)
            lease.num_published += 1
            return new + self.publish(lease, block_table, num_tokens)
        return new

    def _node_of(self, lease: RadixLease, index: int) -> RadixNode:
        """Where the sequence is in the tree after block `index`."""
        node = self._root
        for i in range(index + 1):
            node = node.children[self._tokens(lease, i).tobytes()]
        return node


class BlocksLeakOnAbort(Queues):
    """An aborted sequence leaves the queues, and its blocks stay taken."""

    def finish(self, seq: Sequence, cause: Ending) -> list[Event]:
        if cause.reason == "abort" and self.running.pop(seq.seq_id, None):
            assert seq.row is not None
            self.free_rows.append(seq.row)
        return super().finish(seq, cause)


class RowLeakOnPreemption(Queues):
    """A preempted sequence keeps its row while it waits."""

    def _release(self, seq: Sequence) -> list[Event]:
        events = super()._release(seq)
        if seq.status is SequenceStatus.RUNNING:
            self.free_rows.pop()
        return events


class TokenAfterAbort(Queues):
    """The token in flight of an aborted sequence is appended after all."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._aborted: dict[int, Sequence] = {}

    def finish(self, seq: Sequence, cause: Ending) -> list[Event]:
        if cause.reason == "abort":
            self._aborted[seq.seq_id] = seq
        return super().finish(seq, cause)

    def find(self, seq_id: int) -> Sequence | None:
        return super().find(seq_id) or self._aborted.get(seq_id)


class JoinsWithItsPromptAlone(Queues):
    """A preempted sequence joins as if the device still held the tokens it had sampled for it."""

    def start(self, seq: Sequence, match: PrefixMatch) -> Joined:
        joined = super().start(seq, match)
        return joined._replace(token_ids=joined.token_ids[: seq.num_prompt_tokens])


class RowKeepsItsTail(ChecksumRunner):
    """New blocks are appended to the row's table, also where blocks were handed back."""

    def launch(self, plan: StepPlan) -> ReadyTicket:
        joined = {joined.row for joined in plan.joined}
        updates = tuple(
            update if update.row in joined else update._replace(first=len(self.mirror(update.row)))
            for update in plan.block_updates
        )
        return super().launch(replace(plan, block_updates=updates))


class RowKeepsItsOwner(ChecksumRunner):
    """A row that is taken again keeps what was said of the sequence before."""

    def launch(self, plan: StepPlan) -> ReadyTicket:
        joined = tuple(joined for joined in plan.joined if joined.row not in self._rows)
        return super().launch(replace(plan, joined=joined, left=()))


class EveryGuessCounts(ChecksumRunner):
    """What was sampled behind a wrong guess is given back too."""

    def _sample(self, span: Span) -> tuple[int, ...]:
        if not span.num_drafted:
            return super()._sample(span)
        row = self._rows[span.row]
        tokens: list[int] = []
        for end in range(span.end - span.num_drafted, span.end + 1):
            context = [self._read(row.tables[0], 0, position) for position in range(end)]
            tokens.append(sample(context, row.sampling, row.joined.seed, self.vocab_size))
        row.token_ids[span.end - span.num_drafted :] = tokens
        return tuple(tokens)


class RejectedGuessesStayComputed(Scheduler):
    """Wrong guesses count as computed: their keys and values stand for the tokens that came."""

    def _hand_back(self, seq: Sequence, num_surplus: int, events: list[Event]) -> None:
        super()._hand_back(seq, 0, events)
        seq.num_computed_tokens = min(seq.num_computed_tokens, len(seq.token_ids))


class RejectedBlocksKept(BlockManager):
    """Blocks that only rejected guesses needed are not given back."""

    def trim(self, seq: Sequence, end: int) -> list[Event]:
        return []


THE_EIGHT = {
    "stale hash after eviction": Parts(index=StaleHashAfterEviction),
    "last block hashed early": Parts(block_manager=LastBlockHashedEarly),
    "fully cached prompt": Parts(block_manager=FullyCachedPromptNotRecomputed),
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
    "content goes with its block": Parts(index=ContentGoesWithItsBlock),
    "freed twice": Parts(pool=FreedTwice),
    "shared block stays evictable": Parts(pool=SharedBlockStaysEvictable),
    "hits counted as free": Parts(index=HitsCountedAsFree),
    "parent evicted before its children": Parts(tree=ParentEvictedBeforeItsChildren),
    "private copy has children": Parts(tree=PrivateCopyHasChildren),
    "blocks leak on abort": Parts(queues=BlocksLeakOnAbort),
    "row leak on preemption": Parts(queues=RowLeakOnPreemption),
    "token after abort": Parts(queues=TokenAfterAbort),
    "joins with its prompt alone": Parts(queues=JoinsWithItsPromptAlone),
    "row keeps its tail": Parts(runner=RowKeepsItsTail),
    "row keeps its owner": Parts(runner=RowKeepsItsOwner),
    "every guess counts": Parts(runner=EveryGuessCounts),
    "rejected guesses stay computed": Parts(scheduler=RejectedGuessesStayComputed),
    "rejected blocks kept": Parts(block_manager=RejectedBlocksKept),
}
