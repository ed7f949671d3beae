"""Eight broken engines, each with one real kind of defect, as small as it is in the wild.

Each class differs from the part it replaces in one thing, said in its docstring; none of them looks
wrong at a glance. All eight are defects known from open-source engines. Lesson 13 hunts them;
`tests/core` shows that the random workloads of the tests catch every one.

`Case` puts a broken part into an engine together with a few requests on which it shows.

Read next: `detective.py`, which runs cases and says what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.block_hash import block_hash
from nanovllm_edu.core.block_manager import Block, BlockManager, PrefixMatch
from nanovllm_edu.core.records import Chunk, Event, StepPlan
from nanovllm_edu.core.scheduler import Scheduler, _Draft
from nanovllm_edu.core.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.checks import greedy
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens, sample

VOCAB_SIZE = 24


class StaleHashAfterEviction(BlockManager):
    """An evicted block gets a new owner, but its old content can still be found."""

    def _forget(self, block: Block) -> None:
        pass  # the new owner overwrites it anyway


class LastBlockHashedEarly(BlockManager):
    """A block is findable once its last token is known, one step before its KV is computed."""

    def _num_cacheable_blocks(self, seq: Sequence) -> int:
        return min(len(seq.token_ids) // self.block_size, len(seq.block_table))


class FullyCachedPromptNotRecomputed(BlockManager):
    """A prompt found whole in the cache leaves no token to compute: no logits for the next one."""

    def _num_matchable_blocks(self, seq: Sequence) -> int:
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

    def free(self, seq: Sequence) -> list[Event]:
        self.num_computed_before[seq.seq_id] = min(seq.num_computed_tokens, len(seq.token_ids) - 1)
        return super().free(seq)

    def match_prefix(self, seq: Sequence) -> PrefixMatch:
        match = BlockManager.match_prefix(self, seq)
        num_before = self.num_computed_before.get(seq.seq_id, 0)
        if num_before > match.num_tokens > 0:  # it was here before: go on where it was
            return match._replace(num_tokens=num_before)
        return match


class MissingRefCount(BlockManager):
    """A block that is shared while in use does not count its second user."""

    def share(self, seq: Sequence, match: PrefixMatch) -> None:
        for block_id in match.block_ids:
            block = self.blocks[block_id]
            if block.ref_count == 0:
                self.evictable.remove(block_id)
            block.ref_count = 1
            seq.parent_content_id = block.content_id
        seq.block_table.extend(match.block_ids)
        seq.num_cached_blocks = len(match.block_ids)
        seq.num_computed_tokens = match.num_tokens


class HashWithoutParent(BlockManager):
    """A block is found by its own tokens, whatever comes before them."""

    def _hash_of(self, seq: Sequence, index: int) -> int:
        return block_hash(None, self._tokens_of(seq, index))

    def _holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int) -> bool:
        return block.token_ids == self._tokens_of(seq, index)


class SameStepDuplicateReadsTooEarly(Scheduler):
    """Short chunks go first in a batch: a sharer reads a block before its owner has written it."""

    def _finish_plan(self, draft: _Draft) -> StepPlan:
        draft.chunks.sort(key=lambda chunk: chunk.num_tokens)  # short ones first
        return Scheduler._finish_plan(self, draft)


# ----------------------------------------------------------------------------- the cases


class Request(NamedTuple):
    """A request and the round in which it arrives; a round without work takes no step."""

    at_step: int
    prompt: tuple[int, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """A broken part, the method at fault, and requests on which it shows.

    Attributes:
        number: 1 to 8.
        name: What is wrong.
        broken: The class with the defect.
        method: The method to mend.
        requests: Who comes when.
        options: Of the engine.
    """

    number: int
    name: str
    broken: type
    method: str
    requests: tuple[Request, ...]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def suspect(self) -> Any:
        """The method at fault, for `show_source`."""
        return vars(self.broken)[self.method]

    def mended(self, function: Any) -> type:
        """The broken class with this function in place of the method at fault."""
        return type("Mended", (self.broken,), {self.method: function})

    def __repr__(self) -> str:
        """What is known before the hunt; the name is not."""
        options = {"num_blocks": 16, **self.options}
        lines = [f"Case {self.number}: blocks of 4 tokens, {options}"]
        lines += [
            f"  seq {i} arrives in round {r.at_step}: prompt {list(r.prompt)}, "
            f"{r.max_tokens} tokens wanted"
            for i, r in enumerate(self.requests)
        ]
        return "\n".join(lines)


def build_engine(part: type | None, options: Mapping[str, Any]) -> LLMEngine:
    """An engine with blocks of 4 tokens, one of whose parts is replaced (None: a correct one)."""
    num_blocks = options.get("num_blocks", 16)
    config = EngineConfig(block_size=4, **{"num_blocks": num_blocks, **options})
    runner = _pick(part, ChecksumRunner)(num_blocks, 4, vocab_size=VOCAB_SIZE)
    engine = LLMEngine(runner, config)
    manager = _pick(part, BlockManager)(num_blocks, 4, eviction_policy=config.eviction_policy)
    engine.scheduler = _pick(part, Scheduler)(
        manager,
        policy=config.policy,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        max_model_len=engine.max_model_len,
        enable_chunked_prefill=config.enable_chunked_prefill,
    )
    return engine


def right_tokens(request: Request, max_model_len: int = 4096) -> list[int]:
    """What the request must get, computed without cache, blocks or scheduler."""
    return expected_tokens(
        list(request.prompt),
        greedy(request.max_tokens),
        0,
        vocab_size=VOCAB_SIZE,
        max_model_len=max_model_len,
    )


def _pick(part: type | None, base: Any) -> Any:
    return part if part is not None and issubclass(part, base) else base


_TEXT = tuple(range(1, 9))
_OPENING = Request(0, (3, 1, 4, 1), 4)
_FOLLOW_UP = (*_OPENING.prompt, *right_tokens(_OPENING), 9)

CASES = (
    Case(
        1,
        "stale hash after eviction",
        StaleHashAfterEviction,
        "_forget",
        (
            Request(0, (1, 2, 3, 4, 5), 2),
            Request(3, (6, 7, 8, 9, 6, 7, 8, 9), 2),
            Request(7, (9,) * 8, 6),
            Request(8, (1, 2, 3, 4, 5), 4),
        ),
        {"num_blocks": 5},
    ),
    Case(
        2,
        "last block hashed early",
        LastBlockHashedEarly,
        "_num_cacheable_blocks",
        (_OPENING, Request(6, _FOLLOW_UP, 4)),
    ),
    Case(
        3,
        "fully cached prompt",
        FullyCachedPromptNotRecomputed,
        "_num_matchable_blocks",
        (Request(0, _TEXT, 4), Request(5, _TEXT, 4)),
    ),
    Case(
        4,
        "wrong key length in a chunk",
        WrongKeyLengthInChunk,
        "_sample",
        (Request(0, (2, 7, 1), 3), Request(0, (*_TEXT, 5, 6), 3)),
        {"max_num_batched_tokens": 8},
    ),
    Case(
        5,
        "preempt + hit",
        PreemptAndHitKeepsComputedCount,
        "match_prefix",
        (Request(0, (1,) * 8, 6), Request(0, (2,) * 6, 6)),
        {"num_blocks": 5},
    ),
    Case(
        6,
        "missing ref count",
        MissingRefCount,
        "share",
        (Request(0, (*_TEXT, 9), 3), Request(1, (*_TEXT, 10), 8), Request(4, (11,) * 12, 4)),
        {"num_blocks": 7},
    ),
    Case(
        7,
        "hash without parent",
        HashWithoutParent,
        "_hash_of",
        (
            Request(0, (1, 1, 1, 1, 5, 6, 7, 8, 9), 3),
            Request(4, (2, 2, 2, 2, 5, 6, 7, 8, 9), 3),
            Request(8, (5, 6, 7, 8, 9), 3),
            Request(12, (4, 4, 4, 4, 5, 6, 7, 8, 3, 3, 3, 3, 9), 3),
            Request(16, (2, 2, 2, 2, 5, 6, 7, 8, 3, 3, 3, 3, 9), 3),
        ),
    ),
    Case(
        8,
        "same-step duplicate",
        SameStepDuplicateReadsTooEarly,
        "_finish_plan",
        (Request(0, (*_TEXT, 9), 4), Request(0, (*_TEXT, 10), 4)),
    ),
)


def case(number: int) -> Case:
    """Case 1 to 8."""
    return CASES[number - 1]
