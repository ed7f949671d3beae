"""Eight cases: a broken part of `bugs.py`, and a few requests on which its defect shows.

    case(1)                          what is known before the hunt
    build_engine(part, options)      an engine with that part in it

Read next: `detective.py`, which runs cases and says what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons import bugs
from nanovllm_edu.lessons.checks import greedy
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens

VOCAB_SIZE = 24


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
        shown = ", ".join(f"{name}={value}" for name, value in options.items())
        lines = [f"Case {self.number}: blocks of 4 tokens, {shown}"]
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
    manager = _pick(part, BlockManager)(num_blocks, 4)
    manager.pool = _pick(part, BlockPool)(num_blocks, config.eviction_policy)
    manager.cache = _pick(part, HashIndex)(manager.pool.blocks, 4)
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
        bugs.StaleHashAfterEviction,
        "reclaim",
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
        bugs.LastBlockHashedEarly,
        "publish",
        (_OPENING, Request(6, _FOLLOW_UP, 4)),
    ),
    Case(
        3,
        "fully cached prompt",
        bugs.FullyCachedPromptNotRecomputed,
        "num_matchable_blocks",
        (Request(0, _TEXT, 4), Request(5, _TEXT, 4)),
    ),
    Case(
        4,
        "wrong key length in a chunk",
        bugs.WrongKeyLengthInChunk,
        "_sample",
        (Request(0, (2, 7, 1), 3), Request(0, (*_TEXT, 5, 6), 3)),
        {"max_num_batched_tokens": 8},
    ),
    Case(
        5,
        "preempt + hit",
        bugs.PreemptAndHitKeepsComputedCount,
        "match_prefix",
        (Request(0, (1,) * 8, 6), Request(0, (2,) * 6, 6)),
        {"num_blocks": 5},
    ),
    Case(
        6,
        "missing ref count",
        bugs.MissingRefCount,
        "add_ref",
        (Request(0, (*_TEXT, 9), 3), Request(1, (*_TEXT, 10), 8), Request(4, (11,) * 12, 4)),
        {"num_blocks": 7},
    ),
    Case(
        7,
        "hash without parent",
        bugs.HashWithoutParent,
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
        bugs.SameStepDuplicateReadsTooEarly,
        "plan",
        (Request(0, (*_TEXT, 9), 4), Request(0, (*_TEXT, 10), 4)),
    ),
)


def case(number: int) -> Case:
    """Case 1 to 8."""
    return CASES[number - 1]
