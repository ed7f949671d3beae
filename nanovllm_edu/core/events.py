"""Events: what was decided or done in a step, each with its numbers and its reason.

A plan's events are decisions (who was admitted, which blocks were allocated and why); those of a
commit are effects (blocks can be found from now on, a sequence is finished). They are data first:
`why` is a sentence made from the numbers, which programs read without it.

Tokens are no events: a step's record has them as data already.

Read next: `core/step_record.py`, which holds them.
"""

from dataclasses import dataclass, fields
from typing import Any, cast


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
        values = {f.name: _jsonable(f.name, getattr(self, f.name)) for f in fields(self)}
        return {"kind": type(self).__name__, **values, "why": self.why}


@dataclass(frozen=True, slots=True)
class Admitted(Event):
    """A waiting sequence starts to run.

    Attributes:
        row: Its line in the device's tables.
        num_tokens: Tokens it has.
        num_cached_tokens: How many of them the cache holds.
        num_planned_tokens: How many are computed in this step.
        num_needed_blocks: New blocks, for all its tokens.
        num_free_blocks: Blocks that were free.
        budget_left: Tokens that still fitted the step.
    """

    row: int
    num_tokens: int
    num_cached_tokens: int
    num_planned_tokens: int
    num_needed_blocks: int
    num_free_blocks: int
    budget_left: int

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} is admitted to row {self.row}: {self.num_cached_tokens} of its "
            f"{counted(self.num_tokens, 'token')} are cached, the other ones need "
            f"{self.num_needed_blocks} of {counted(self.num_free_blocks, 'free block')}, and "
            f"{self.num_planned_tokens} fit the token budget of {self.budget_left} now"
        )


@dataclass(frozen=True, slots=True)
class PrefixHit(Event):
    """How much of an admitted sequence was found in the cache, and where the match stopped."""

    block_ids: tuple[int, ...]
    num_tokens: int
    stopped_because: str

    @property
    def stopped_at(self) -> int:
        """The first block that was not found."""
        return len(self.block_ids)

    @property
    def why(self) -> str:
        found = f"seq {self.seq_id} finds its first {counted(self.num_tokens, 'token')} cached"
        if not self.block_ids:
            found = f"seq {self.seq_id} finds nothing cached"
        return f"{found}; the match stops at block {self.stopped_at}: {self.stopped_because}"


@dataclass(frozen=True, slots=True)
class PromptShared(PrefixHit):
    """Another answer to a prompt that has one already takes over what was computed of it.

    Attributes:
        from_seq_id: Whose blocks they are, too.
        copied_block: Holds what does not fill a block; both will write behind that, so each needs
            a block of its own. None if every block is full.
    """

    from_seq_id: int
    copied_block: int | None

    @property
    def why(self) -> str:
        places: list[str] = []
        if self.block_ids:
            places.append(f"in {named(self.block_ids, 'block')}, which both use")
        if self.copied_block is not None:
            places.append(f"in a copy of block {self.copied_block}, behind which both will write")
        return (
            f"seq {self.seq_id} answers the prompt of seq {self.from_seq_id}, too: it finds its "
            f"first {counted(self.num_tokens, 'token')} {' and '.join(places)}"
        )


@dataclass(frozen=True, slots=True)
class BlocksAllocated(Event):
    """A sequence gets blocks to write to.

    Attributes:
        block_ids: The blocks, entries [first, first + len(block_ids)) of its block table.
        first: Logical index of the first of them.
        end: All its blocks together hold its tokens [0, end).
    """

    block_ids: tuple[int, ...]
    first: int
    end: int

    @property
    def why(self) -> str:
        blocks = named(self.block_ids, "block")
        return (
            f"seq {self.seq_id} gets {blocks} from its block {self.first} on, because its tokens "
            f"up to {self.end} pass the end of the {counted(self.first, 'block')} it has"
        )


@dataclass(frozen=True, slots=True)
class BlocksCached(Event):
    """Full blocks can be found by other sequences from now on.

    Attributes:
        block_ids: The blocks.
        indices: The logical index of each in the sequence's block table.
        hashes: The hash of each; () if the cache finds them otherwise.
    """

    block_ids: tuple[int, ...]
    indices: tuple[int, ...]
    hashes: tuple[int, ...]

    @property
    def why(self) -> str:
        is_one = len(self.block_ids) == 1
        by = ""
        if self.hashes:
            shown = ", ".join(f"{key:016x}" for key in self.hashes[:3])
            rest = ", ..." if len(self.hashes) > 3 else ""
            by = f" by hash {shown}{rest}" if is_one else f" by the hashes {shown}{rest}"
        return (
            f"{named(self.block_ids, 'block')} ({named(self.indices, 'block')} of seq "
            f"{self.seq_id}) {'is' if is_one else 'are'} full and of known tokens, so "
            f"{'it' if is_one else 'they'} can be found{by}"
        )


@dataclass(frozen=True, slots=True)
class BlockEvicted(Event):
    """A free block lost its cached content because a sequence needed the space.

    Attributes:
        block_id: The block.
        hash: By which its content was found; None if it was found otherwise.
        policy: Who chose it.
    """

    block_id: int
    hash: int | None
    policy: str

    @property
    def why(self) -> str:
        key = "" if self.hash is None else f" (hash {self.hash:016x})"
        return (
            f"block {self.block_id} forgets its content{key}: seq {self.seq_id} "
            f"needs a block, none is blank, and it is first in line by {self.policy}"
        )


@dataclass(frozen=True, slots=True)
class BlocksFreed(Event):
    """A sequence gives blocks back, the last one of its table first.

    Attributes:
        block_ids: The blocks.
        ref_counts: How many sequences still use each.
        are_cached: Whether each can still be found.
    """

    block_ids: tuple[int, ...]
    ref_counts: tuple[int, ...]
    are_cached: tuple[bool, ...]

    @property
    def why(self) -> str:
        num_used = sum(count > 0 for count in self.ref_counts)
        free = [c for c, n in zip(self.are_cached, self.ref_counts, strict=True) if n == 0]
        parts = {
            "still used by others": num_used,
            "free but findable until evicted": sum(free),
            "free and blank": len(free) - sum(free),
        }
        rest = [f"{number} {what}" for what, number in parts.items() if number]
        if len(self.block_ids) == 1:
            rest = [what for what, number in parts.items() if number]
        return f"seq {self.seq_id} gives back {named(self.block_ids, 'block')}: {', '.join(rest)}"


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
            f"seq {self.seq_id} is preempted and gives back {counted(self.num_blocks, 'block')} "
            f"({counted(self.num_lost_tokens, 'computed token')}, to be found again or "
            f"recomputed): {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class DraftVerified(Event):
    """Guessed tokens went through the model.

    Attributes:
        position: Of the first guess.
        drafted: The guesses.
        num_accepted: How many of them, from the front, are what the model says itself.
        token_id: What the model says after the last accepted one.
    """

    position: int
    drafted: tuple[int, ...]
    num_accepted: int
    token_id: int

    @property
    def why(self) -> str:
        guesses = counted(len(self.drafted), "guessed token")
        said = f"seq {self.seq_id}: {self.num_accepted} of {guesses} accepted"
        if self.num_accepted == len(self.drafted):
            return f"{said}, and token {self.token_id} comes on top"
        wrong = self.drafted[self.num_accepted]
        return (
            f"{said}; at position {self.position + self.num_accepted} the guess was {wrong} and "
            f"the model says {self.token_id}"
        )


@dataclass(frozen=True, slots=True)
class DraftFailed(Event):
    """The proposer raised, so the sequence goes on without guesses in this step."""

    error: str

    @property
    def why(self) -> str:
        return f"seq {self.seq_id} goes on without guesses: the proposer failed ({self.error})"


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """A sequence is done; its blocks are given back."""

    reason: str
    num_tokens: int
    detail: str

    @property
    def why(self) -> str:
        return (
            f"seq {self.seq_id} is finished with {counted(self.num_tokens, 'token')} "
            f"(reason {self.reason!r}: {self.detail})"
        )


EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Admitted,
        PrefixHit,
        PromptShared,
        BlocksAllocated,
        BlocksCached,
        BlockEvicted,
        BlocksFreed,
        Preempted,
        DraftVerified,
        DraftFailed,
        Finished,
    )
}


def counted(number: int, noun: str) -> str:
    """`1 token`, `2 tokens`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(ids: tuple[int, ...], noun: str) -> str:
    """`block 3`, `blocks 3, 5`, `blocks 3 to 7`."""
    if len(ids) == 1:
        return f"{noun} {ids[0]}"
    if len(ids) > 2 and ids == tuple(range(ids[0], ids[0] + len(ids))):
        return f"{noun}s {ids[0]} to {ids[-1]}"
    return f"{noun}s {', '.join(map(str, ids))}"


def _jsonable(name: str, value: Any) -> Any:
    """Tuples become lists; 64-bit hashes become hex strings (JavaScript has 53-bit integers)."""
    if name == "hashes":
        return [f"{key:016x}" for key in cast(tuple[int, ...], value)]
    if name == "hash":
        return None if value is None else f"{value:016x}"
    return list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
