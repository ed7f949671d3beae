"""What goes to a device in one step, and what comes back.

    plan()   -> StepPlan      who joined and left, what moves, which blocks, and why
    launch   -> Ticket        (core/model_runner.py)
    wait()   -> StepOutput    the tokens, and what else the device can tell

Facts of a request are said once: `Joined` when it takes a row of the device's tables, and after
that each step says only what is new. A *row* is a sequence's line in those tables; a *slot* is a
place in the KV cache.

Everything here is frozen data. The scheduler *returns* its decisions as these records instead of
reporting them to somebody: the plan that drives the device is also the trace a person reads.

Read next: `core/events.py`, the reasons in a plan; `core/request/sequence.py`, whose tokens move;
then `core/schedule/scheduler.py`, which makes plans.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import compress
from typing import Any, NamedTuple, overload

from nanovllm_edu.core.events import Event, Preempted
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TokenLogprobs

Tokens = Seq[int]

DEVICE_TIER = 0
"""The KV cache proper. Tiers above it (the host's memory) can only be copied from and to."""


class Joined(NamedTuple):
    """A sequence takes a row: all that a device must know of it, said once.

    Attributes:
        seq_id: The sequence.
        row: Its line in the device's tables from now on.
        token_ids: Every token whose value is known, prompt first.
        num_prompt_tokens: Where the prompt ends in them.
        sampling: How to sample it.
        seed: Its random numbers come from (seed, position).
    """

    seq_id: int
    row: int
    token_ids: Tokens
    num_prompt_tokens: int
    sampling: SamplingParams
    seed: int


class SamplingUpdate(NamedTuple):
    """A running sequence is sampled differently from now on."""

    seq_id: int
    row: int
    sampling: SamplingParams


class Span(NamedTuple):
    """What moves in this step: positions [start, start + num_tokens) go through the model.

    Attributes:
        seq_id: The sequence.
        row: Its line in the device's tables.
        start: The first position; everything before it is in the KV cache.
        num_tokens: How many positions.
        given: Values of these tokens; () where the device holds them already, because they came
            with `Joined` or it sampled them itself.
        num_drafted: How many at the end are guesses, to be verified.
        is_sampled: Whether the last `num_drafted + 1` positions are sampled from.
    """

    seq_id: int
    row: int
    start: int
    num_tokens: int
    given: Tokens = ()
    num_drafted: int = 0
    is_sampled: bool = True

    @property
    def end(self) -> int:
        """Length of the sequence's KV once this span is computed."""
        return self.start + self.num_tokens

    @property
    def drafted(self) -> Tokens:
        """The guesses."""
        return self.given[len(self.given) - self.num_drafted :]

    @property
    def num_claimed(self) -> int:
        """At most this many tokens come back: each guess, and the one after the last of them."""
        return self.num_drafted + 1 if self.is_sampled else 0


_AS_SPAN: Callable[[Iterable[Any]], Span] = partial(tuple.__new__, Span)  # type: ignore[arg-type]
"""`Span._make` without the count of the columns, in C: a step's spans are read many times."""


class Spans(Seq[Span]):
    """A step's spans, kept as one tuple for each field.

    That is how a device wants them, and what makes a thousand kept records cheap: the garbage
    collector walks every kept object again and again, and 256 spans are seven tuples here. Each is
    made into a `Span` when it is read, so a loop should read them once.

    Attributes:
        columns: One tuple for each field of `Span`, in its order.
        seq_ids: The first of them; the others follow, each under its own name.
    """

    __slots__ = (
        "are_sampled",
        "columns",
        "givens",
        "nums_drafted",
        "nums_of_tokens",
        "rows",
        "seq_ids",
        "starts",
    )

    def __init__(self, spans: Iterable[tuple[Any, ...]] = ()) -> None:
        """Takes spans, or plain tuples of their values in the same order."""
        self.columns: tuple[tuple[Any, ...], ...] = tuple(zip(*spans, strict=True)) or ((),) * 7
        self.seq_ids: tuple[int, ...]
        self.rows: tuple[int, ...]
        self.starts: tuple[int, ...]
        self.nums_of_tokens: tuple[int, ...]
        self.givens: tuple[Tokens, ...]
        self.nums_drafted: tuple[int, ...]
        self.are_sampled: tuple[bool, ...]
        (
            self.seq_ids,
            self.rows,
            self.starts,
            self.nums_of_tokens,
            self.givens,
            self.nums_drafted,
            self.are_sampled,
        ) = self.columns

    @property
    def sampled(self) -> tuple[Span, ...]:
        """Those that bring tokens."""
        return tuple(compress(self, self.are_sampled))

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self) -> Iterator[Span]:
        return map(_AS_SPAN, zip(*self.columns, strict=True))

    @overload
    def __getitem__(self, index: int) -> Span: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Span, ...]: ...

    def __getitem__(self, index: int | slice) -> Span | tuple[Span, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        return Span._make(column[index] for column in self.columns)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Spans):
            return self.columns == other.columns
        return isinstance(other, tuple) and tuple(self) == other

    def __hash__(self) -> int:
        return hash(self.columns)

    def __repr__(self) -> str:
        return repr(tuple(self))


class BlockRef(NamedTuple):
    """One block of one tier of memory."""

    tier: int
    block_id: int


class BlockUpdate(NamedTuple):
    """A row's block table from entry `first` on.

    Attributes:
        group: Layers that share a block table; there is one such group for now, 0.
        row: Whose table.
        first: The first logical index that changes.
        block_ids: What is there from now on.
    """

    group: int
    row: int
    first: int
    block_ids: tuple[int, ...]


class BlockCopy(NamedTuple):
    """A block's content, in all layers, is copied before anything of this step is computed."""

    source: BlockRef
    target: BlockRef


class RowMasks(NamedTuple):
    """What may be drawn for a row that is held to a grammar.

    Attributes:
        seq_id: The sequence.
        row: Its line in the device's tables.
        masks: One for each position that is sampled in this step: a bit for each token of the
            vocabulary, the lowest bit of a byte first; 1 may be drawn.
    """

    seq_id: int
    row: int
    masks: tuple[bytes, ...]

    @property
    def nums_allowed(self) -> tuple[int, ...]:
        """How many tokens may be drawn at each position."""
        return tuple(int.from_bytes(mask).bit_count() for mask in self.masks)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a sequence does not run in this step, though its turn had come.

    Attributes:
        seq_id: The sequence.
        resource: "budget", "rows", "blocks", "prompt", "phase" or "in_flight".
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

    A device takes it in this order: `left`, `joined`, `sampling_updates`, `block_updates`,
    `copies`, `masks`, `spans`.

    Attributes:
        step_id: Ascending from 0.
        spans: The work, in batch order.
        joined: Sequences that take a row.
        left: Rows whose sequence is gone since the plan before.
        sampling_updates: Rows that are sampled differently from now on.
        block_updates: What is new in the block tables.
        copies: Blocks to copy first.
        events: Every decision, in the order it was taken.
        blocked: Why the first waiting sequence waits, or None if nobody does.
        masks: What may be drawn for rows with a grammar. They follow from the tokens, so they are
            neither compared nor recorded.
    """

    step_id: int
    spans: Spans = field(default_factory=Spans)
    joined: tuple[Joined, ...] = ()
    left: tuple[int, ...] = ()
    sampling_updates: tuple[SamplingUpdate, ...] = ()
    block_updates: tuple[BlockUpdate, ...] = ()
    copies: tuple[BlockCopy, ...] = ()
    events: tuple[Event, ...] = ()
    blocked: Blocked | None = None
    masks: tuple[RowMasks, ...] = field(default=(), compare=False, repr=False)

    @property
    def preempted(self) -> tuple[int, ...]:
        """Sequences that went back to wait."""
        return tuple(event.seq_id for event in self.events if isinstance(event, Preempted))

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return sum(self.spans.nums_of_tokens)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a device gives back: what `Ticket.wait()` returns.

    Attributes:
        tokens: The new tokens of each sampled sequence: one, or up to `Span.num_claimed`.
        logprobs: One entry for each new token, of the sequences that asked for them.
        errors: Sequences whose row failed, and how. They end; the rest of the step counts.
        timings: Seconds of each phase: "prepare", "forward", "sample".
        rank_timings: The same of each rank that shares the model, and of its "all-reduce", the part
            of them that it spent in sums over all ranks. Empty if nobody shares it.
    """

    tokens: Mapping[int, tuple[int, ...]]
    logprobs: Mapping[int, tuple[TokenLogprobs, ...]] = field(
        default_factory=dict[int, tuple[TokenLogprobs, ...]]
    )
    errors: Mapping[int, str] = field(default_factory=dict[int, str])
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    rank_timings: tuple[Mapping[str, float], ...] = ()
