"""Events: what was decided or done in a step, each with its numbers and its reason.

A plan's events are decisions (who was admitted, which block was allocated and why), a result's are
effects (a token came, a block can be found from now on). They are data first: `why` is a sentence
made from the numbers, which programs read without it.

A step writes them down as plain tuples, `(BlockFreed, seq_id, ...)`, which cost next to nothing.
They become objects when somebody reads them.

Read next: `core/plan.py`, whose plans and results hold them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, cast

PackedEvent = tuple[Any, ...]
"""An event that nobody has read yet: its class, then its values in the order of the fields."""


def unpack_events(packed: Iterable[PackedEvent]) -> "tuple[Event, ...]":
    """The events themselves."""
    return tuple([kind(*values) for kind, *values in packed])


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
