"""What flows through one step: chunks, plans, results, and the events that say *why*.

Everything here is frozen data. The scheduler *returns* its decisions as these records instead of
reporting them to somebody: the plan that drives the device is also the trace a person reads.

    plan()   -> StepPlan        who runs, which tokens, which blocks, and why
    launch   -> Ticket          (core/model_runner.py)
    commit() -> StepResult      which tokens came out, who finished

Read next: `core/scheduler.py`, which makes plans and commits results.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, cast

from nanovllm_edu.core.sampling_params import SamplingParams


class Chunk(NamedTuple):
    """The tokens of one sequence that go through the model in one step: [start, start+num_tokens).

    A runner needs nothing else to keep its own copy of the block table up to date.

    Attributes:
        seq_id: The sequence.
        slot: Its row in the device's tables.
        start: Position of the first token to compute; everything before it is in the KV cache.
        num_tokens: How many tokens to compute.
        token_ids: Their values; empty for decode, where the device already holds the one token.
        first_block: Logical index at which `new_block_ids` enter the block table row.
        new_block_ids: Physical blocks that are new in this slot's row.
        samples: Whether this chunk reaches the end of the known tokens, so a token is sampled.
        params: How to sample it.
        seed: Its random numbers come from (seed, position).
        num_prompt_tokens: Where the prompt ends (penalties treat prompt and output differently).
        history_ids: Tokens [0, start) if they are new to this slot (a prefix hit) and a penalty
            needs them; else empty.
    """

    seq_id: int
    slot: int
    start: int
    num_tokens: int
    token_ids: tuple[int, ...]
    first_block: int
    new_block_ids: tuple[int, ...]
    samples: bool
    params: SamplingParams
    seed: int
    num_prompt_tokens: int
    history_ids: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """Length of the sequence's KV once this chunk is computed."""
        return self.start + self.num_tokens

    @property
    def is_decode(self) -> bool:
        """Whether the one input token was sampled by the device itself."""
        return not self.token_ids


@dataclass(frozen=True, slots=True)
class Event:
    """One decision or effect. `why` says it in a plain sentence."""

    seq_id: int

    @property
    def why(self) -> str:
        """The reason, as a sentence with its numbers."""
        return ""

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values, with its kind and its sentence."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"kind": type(self).__name__, **_jsonable(values), "why": self.why}


@dataclass(frozen=True, slots=True)
class Admitted(Event):
    """A waiting sequence starts to run."""

    slot: int
    num_tokens: int
    num_cached_tokens: int
    num_chunk_tokens: int
    num_needed_blocks: int
    num_free_blocks: int
    budget_left: int

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} is admitted to slot {self.slot}: {self.num_cached_tokens} of its "
            f"{self.num_tokens} tokens are cached, the other ones need {self.num_needed_blocks} of "
            f"{self.num_free_blocks} free blocks, and {self.num_chunk_tokens} fit the token "
            f"budget of {self.budget_left} now"
        )


@dataclass(frozen=True, slots=True)
class PrefixHit(Event):
    """How much of an admitted sequence was found in the cache, and where the match stopped."""

    block_ids: tuple[int, ...]
    num_tokens: int
    stopped_at: int
    stopped_because: str

    @property
    def why(self) -> str:
        found = f"seq {self.seq_id} finds its first {self.num_tokens} tokens cached"
        if not self.block_ids:
            found = f"seq {self.seq_id} finds nothing cached"
        return f"{found}; the match stops at block {self.stopped_at}: {self.stopped_because}"


@dataclass(frozen=True, slots=True)
class BlockAllocated(Event):
    """A sequence gets a block to write to."""

    block_id: int
    logical_index: int
    start: int
    end: int

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} gets block {self.block_id} as its block {self.logical_index}, "
            f"because its tokens [{self.start}, {self.end}) pass the end of the blocks it has"
        )


@dataclass(frozen=True, slots=True)
class BlockCached(Event):
    """A full block got its hash: from now on other sequences can find it."""

    block_id: int
    logical_index: int
    hash: int

    @property
    def why(self) -> str:
        return (
            f"block {self.block_id} (block {self.logical_index} of seq {self.seq_id}) is full and "
            f"its tokens are known, so it can be found by hash {self.hash:016x}"
        )


@dataclass(frozen=True, slots=True)
class BlockEvicted(Event):
    """A free block lost its cached content because a sequence needed the space."""

    block_id: int
    hash: int
    policy: str

    @property
    def why(self) -> str:
        return (
            f"block {self.block_id} forgets its content (hash {self.hash:016x}): seq {self.seq_id} "
            f"needs a block, none is blank, and it is first in line by {self.policy}"
        )


@dataclass(frozen=True, slots=True)
class BlockForgotten(Event):
    """A block that no match could reach any more gave its hash to one that can be reached."""

    block_id: int
    hash: int
    for_block_id: int

    @property
    def why(self) -> str:
        return (
            f"block {self.block_id} forgets its content (hash {self.hash:016x}): the block in "
            "front of it was evicted, so no match could reach it, and block "
            f"{self.for_block_id} of seq {self.seq_id} now has the same content"
        )


@dataclass(frozen=True, slots=True)
class BlockFreed(Event):
    """A sequence let go of a block."""

    block_id: int
    ref_count: int
    is_cached: bool

    @property
    def why(self) -> str:
        if self.ref_count:
            rest = f"still used by {self.ref_count} other sequence(s)"
        else:
            rest = "free but findable until evicted" if self.is_cached else "free and blank"
        return f"seq {self.seq_id} lets go of block {self.block_id}: {rest}"


@dataclass(frozen=True, slots=True)
class Preempted(Event):
    """A running sequence gave up its blocks and went back to wait; its tokens are kept."""

    for_seq_id: int | None
    num_lost_tokens: int
    num_blocks: int
    reason: str

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} is preempted and lets go of {self.num_blocks} blocks "
            f"({self.num_lost_tokens} computed tokens, to be found again or recomputed): "
            f"{self.reason}"
        )


@dataclass(frozen=True, slots=True)
class TokenSampled(Event):
    """A new token of a sequence is known."""

    token_id: int
    position: int

    @property
    def why(self) -> str:
        return f"seq {self.seq_id} got token {self.token_id} at position {self.position}"


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """A sequence is done; its blocks are let go."""

    reason: str
    num_tokens: int
    detail: str

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} is finished with {self.num_tokens} tokens "
            f"(reason {self.reason!r}: {self.detail})"
        )


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why the first sequence still waiting does not run in this step.

    Attributes:
        seq_id: The sequence at the head of the queue.
        resource: "budget", "slots", "blocks", "phase" or "in_flight".
        needed: How much of the resource it needs.
        available: How much there is.
        detail: What is behind the numbers.
    """

    seq_id: int
    resource: str
    needed: int
    available: int
    detail: str

    @property
    def why(self) -> str:
        """The reason, as a sentence with its numbers."""
        return f"seq {self.seq_id} waits: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "why": self.why}


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one step computes, decided before the device sees it.

    Attributes:
        step_id: Ascending from 0.
        chunks: The work, in batch order.
        preempted: Sequences that went back to wait.
        blocked: Why the first waiting sequence waits, or None if nobody waits.
        events: Every decision of the plan, in the order it was taken.
    """

    step_id: int
    chunks: tuple[Chunk, ...]
    preempted: tuple[int, ...]
    blocked: Blocked | None
    events: tuple[Event, ...]

    @property
    def is_pure_decode(self) -> bool:
        """Whether each chunk is one token that the device itself sampled (a CUDA graph fits)."""
        return all(not chunk.token_ids for chunk in self.chunks)

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return sum(chunk.num_tokens for chunk in self.chunks)


class TokenLogprobs(NamedTuple):
    """Log probabilities at one position: the sampled token's, and the likeliest tokens'."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of a step.

    Attributes:
        step_id: The plan's.
        new_tokens: The token appended to each sequence.
        positions: Where each of them stands in its sequence.
        finished: Reason of each sequence that ended.
        caused: What else a sequence's new token brought about: newly cached blocks, its finish,
            freed blocks. Most tokens bring about nothing.
    """

    step_id: int
    new_tokens: Mapping[int, int]
    positions: tuple[int, ...]
    finished: Mapping[int, str]
    caused: Mapping[int, tuple[Event, ...]]

    @property
    def events(self) -> tuple[Event, ...]:
        """Each token with what it caused. Made when read: one object per token is dear to keep."""
        return tuple(self._events())

    def _events(self) -> Iterator[Event]:
        for (seq_id, token_id), position in zip(
            self.new_tokens.items(), self.positions, strict=True
        ):
            yield TokenSampled(seq_id, token_id, position)
            yield from self.caused.get(seq_id, ())


EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Admitted,
        PrefixHit,
        BlockAllocated,
        BlockCached,
        BlockEvicted,
        BlockForgotten,
        BlockFreed,
        Preempted,
        TokenSampled,
        Finished,
    )
}


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples become lists; 64-bit hashes become hex strings (JavaScript has 53-bit integers)."""
    lists = {k: list(cast(tuple[Any, ...], v)) for k, v in values.items() if isinstance(v, tuple)}
    hashes = {k: f"{v:016x}" for k, v in values.items() if k == "hash"}
    return values | lists | hashes
