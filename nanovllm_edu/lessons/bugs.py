"""Eight broken engines, each with one real kind of defect, as small as it is in the wild.

Each class differs from the part it replaces in one thing, said in its docstring; none of them looks
wrong at a glance. All eight are defects known from open-source engines. Lesson 13 hunts them;
`tests/core` shows that the random workloads of the tests catch every one.

Read next: `cases.py`, which puts each into an engine, with requests on which it shows.
"""

from typing import Any

from nanovllm_edu.core.events import PackedEvent
from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block, BlockPool
from nanovllm_edu.core.memory.hash_index import PrefixIndex, PrefixMatch
from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.core.schedule.step_builder import Draft
from nanovllm_edu.runners.checksum import ChecksumRunner, sample


class StaleHashAfterEviction(PrefixIndex):
    """An evicted block gets a new owner, but its old content can still be found."""

    def forget(self, block: Block) -> None:
        pass  # the new owner overwrites it anyway


class LastBlockHashedEarly(PrefixIndex):
    """A block is findable once its last token is known, one step before its KV is computed."""

    def num_cacheable_blocks(self, seq: Sequence) -> int:
        return min(len(seq.token_ids) // self.block_size, len(seq.block_table))


class FullyCachedPromptNotRecomputed(PrefixIndex):
    """A prompt found whole in the cache leaves no token to compute: no logits for the next one."""

    def num_matchable_blocks(self, seq: Sequence) -> int:
        return len(seq.token_ids) // self.block_size


class WrongKeyLengthInChunk(ChecksumRunner):
    """A prefill chunk attends to its own tokens only, not to what was computed before it."""

    def _sample(self, chunk: Chunk) -> int:
        table = self._block_tables[chunk.slot]
        num_keys = chunk.end if chunk.is_decode else chunk.num_tokens
        context = [self._read(table, position) for position in range(num_keys)]
        token = sample(context, chunk.params, chunk.seed, self.vocab_size)
        self._last_sampled[chunk.slot] = token
        return token


class PreemptAndHitKeepsComputedCount(BlockManager):
    """A preempted sequence that hits the cache goes on from where it was, not from the hit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.num_computed_before: dict[int, int] = {}

    def free(self, seq: Sequence) -> list[PackedEvent]:
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

    def use(self, block: Block) -> None:
        if block.ref_count == 0:
            self.evictable.remove(block.block_id)
        block.ref_count = 1


class HashWithoutParent(PrefixIndex):
    """A block is found by its own tokens, whatever comes before them."""

    def hash_of(self, seq: Sequence, index: int) -> int:
        return block_hash(None, self.tokens_of(seq, index))

    def holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int | None) -> bool:
        return block.token_ids == self.tokens_of(seq, index)


class SameStepDuplicateReadsTooEarly(Scheduler):
    """Short chunks go first in a batch: a sharer reads a block before its owner has written it."""

    def _finish_plan(self, draft: Draft) -> StepPlan:
        draft.chunks.sort(key=lambda chunk: chunk.num_tokens)  # short ones first
        return Scheduler._finish_plan(self, draft)
