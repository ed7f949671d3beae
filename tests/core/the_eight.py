"""Eight defects known from open-source engines, each as one small difference from a right part.

Lesson 13 hunts the same eight. Each class differs from its base in one thing, said in its
docstring, and none of them looks wrong at a glance.
"""

from dataclasses import replace
from typing import Any

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block, BlockPool
from nanovllm_edu.core.memory.eviction import EvictionPolicy
from nanovllm_edu.core.memory.hash_index import HashedContent, HashIndex, HashLease
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import ChecksumRunner, sample


class StaleHashAfterEviction(HashIndex):
    """An evicted block gets a new owner, but its old content can still be found."""

    def reclaim(self, evictable: EvictionPolicy) -> tuple[int, HashedContent]:
        block = self._blocks[evictable.pop()]
        assert isinstance(block.content, HashedContent)
        return block.block_id, block.content  # the new owner overwrites it anyway


class LastBlockHashedEarly(HashIndex):
    """A block is findable once its last token is known, one step before its KV is computed."""

    def publish(self, lease: HashLease, block_table: list[int], num_tokens: int) -> list[int]:
        num_known = min(len(lease.token_ids), len(block_table) * self.block_size)
        return super().publish(lease, block_table, num_known)


class FullyCachedPromptNotRecomputed(BlockManager):
    """A prompt found whole in the cache leaves no token to compute: no logits for the next one."""

    def num_matchable_blocks(self, seq: Sequence) -> int:
        return len(seq.token_ids) // self.block_size


class WrongKeyLengthInChunk(ChecksumRunner):
    """A piece of a prompt attends to its own tokens only, not to what was computed before it."""

    def _sample(self, span: Span) -> tuple[int, ...]:
        if span.num_tokens == 1 or span.num_drafted:
            return super()._sample(span)
        row = self._rows[span.row]
        context = [self._read(row.tables[0], 0, position) for position in range(span.num_tokens)]
        token = sample(context, row.sampling, row.joined.seed, self.vocab_size)
        row.token_ids[span.end :] = [token]
        return (token,)


class PreemptAndHitKeepsComputedCount(BlockManager):
    """A preempted sequence that hits the cache goes on from where it was, not from the hit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.num_computed_before: dict[int, int] = {}

    def free(self, seq: Sequence) -> list[Event]:
        self.num_computed_before[seq.seq_id] = min(seq.num_computed_tokens, len(seq.token_ids) - 1)
        return super().free(seq)

    def match_prefix(self, seq: Sequence) -> PrefixMatch:
        match = super().match_prefix(seq)
        num_before = self.num_computed_before.get(seq.seq_id, 0)
        if num_before > match.num_tokens > 0:  # it was here before: go on where it was
            return match._replace(num_tokens=num_before)
        return match


class MissingRefCount(BlockPool):
    """A block that is shared while in use does not count its second user."""

    def add_ref(self, block: Block) -> None:
        if block.ref_count == 0:
            self.evictable.remove(block.block_id)
        block.ref_count = 1


class HashWithoutParent(HashIndex):
    """A block is found by its own tokens, whatever comes before them."""

    def _hash_of(self, lease: HashLease, index: int) -> int:
        while len(lease.hashes) <= index:
            lease.hashes.append(self._hash(None, self._tokens(lease, len(lease.hashes))))
        return lease.hashes[index]

    def _holds(
        self, content: HashedContent, lease: HashLease, index: int, parent: HashedContent
    ) -> bool:
        return content.token_ids == self._tokens(lease, index)


class SameStepDuplicateReadsTooEarly(Scheduler):
    """Short spans go first in a batch: a sharer reads a block before its owner has written it."""

    def plan(self) -> StepPlan:
        plan = super().plan()
        short_first = sorted(plan.spans, key=lambda span: span.num_tokens)
        return replace(plan, spans=Spans(short_first))
