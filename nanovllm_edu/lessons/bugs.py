"""Eight broken engines, each with one real kind of defect, as small as it is in the wild.

Each class differs from the part it replaces in one thing, said in its docstring; none of them looks
wrong at a glance. All eight are defects known from open-source engines. Lesson 13 hunts them;
`tests/core` shows that the random workloads of the tests catch every one.

Read next: `cases.py`, which puts each into an engine, with requests on which it shows.
"""

from dataclasses import replace
from typing import Any

from nanovllm_edu.core.events import BlocksCached, Event
from nanovllm_edu.core.memory.block_hash import block_hash
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
        content = block.content
        assert isinstance(content, HashedContent)
        return block.block_id, content  # the new owner overwrites it anyway


class LastBlockHashedEarly(BlockManager):
    """A block is findable once its last token is known, one step before its KV is computed."""

    def publish(self, seq: Sequence) -> list[Event]:
        num_tokens = min(len(seq.token_ids), len(seq.block_table) * self.block_size)
        return self.publish_first(seq, num_tokens)

    def publish_first(self, seq: Sequence, num_tokens: int) -> list[Event]:
        """Makes findable the full blocks among the first `num_tokens` tokens."""
        table = seq.block_table
        indices = self.cache.publish(self._leases[seq.seq_id], table, num_tokens)
        block_ids = tuple(table[index] for index in indices)
        contents = [self.blocks[block_id].content for block_id in block_ids]
        hashes = tuple(c.hash for c in contents if c is not None and c.hash is not None)
        return [BlocksCached(seq.seq_id, block_ids, tuple(indices), hashes)] if indices else []


class FullyCachedPromptNotRecomputed(BlockManager):
    """A prompt found whole in the cache leaves no token to compute: no logits for the next one."""

    def num_matchable_blocks(self, seq: Sequence) -> int:
        return len(seq.token_ids) // self.block_size


class WrongKeyLengthInChunk(ChecksumRunner):
    """A piece of a prompt attends to its own tokens only, not to what was computed before it.

    It knows nothing of guesses: a span brings one token.
    """

    def _sample(self, span: Span) -> tuple[int, ...]:
        row = self._rows[span.row]
        num_keys = span.end if span.num_tokens == 1 else span.num_tokens
        context = [self._read(row.tables[0], 0, position) for position in range(num_keys)]
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
        match = BlockManager.match_prefix(self, seq)
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
            token_ids = self._tokens(lease, len(lease.hashes))
            lease.hashes.append(block_hash(None, token_ids))
        return lease.hashes[index]

    def _holds(
        self, content: HashedContent, lease: HashLease, index: int, parent: HashedContent
    ) -> bool:
        return content.token_ids == self._tokens(lease, index)


class SameStepDuplicateReadsTooEarly(Scheduler):
    """Short spans go first in a batch: a sharer reads a block before its owner has written it."""

    def plan(self) -> StepPlan:
        plan = Scheduler.plan(self)
        short_first = sorted(plan.spans, key=lambda span: span.num_tokens)
        return replace(plan, spans=Spans(short_first))
