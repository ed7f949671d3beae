"""What flows through one step: chunks, plans and results.

Everything here is frozen data. The scheduler *returns* its decisions as these records instead of
reporting them to somebody: the plan that drives the device is also the trace a person reads.

    plan()   -> StepPlan        who runs, which tokens, which blocks, and why
    launch   -> Ticket          (core/model_runner.py)
    commit() -> StepResult      which tokens came out, who finished

The reasons in them are events, of `core/events.py`; both can be imported from here.

Read next: `core/schedule/scheduler.py`, which makes plans and commits results.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from nanovllm_edu.core.events import (
    EVENT_TYPES,
    Admitted,
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockForgotten,
    BlockFreed,
    Event,
    Finished,
    PackedEvent,
    Preempted,
    PrefixHit,
    TokenSampled,
    unpack_events,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams

__all__ = [  # events too: records and events are read together
    "EVENT_TYPES",
    "Admitted",
    "BlockAllocated",
    "BlockCached",
    "BlockEvicted",
    "BlockForgotten",
    "BlockFreed",
    "Blocked",
    "Chunk",
    "Event",
    "Finished",
    "Preempted",
    "PrefixHit",
    "StepPlan",
    "StepResult",
    "TokenLogprobs",
    "TokenSampled",
]


class Chunk(NamedTuple):
    """The tokens of one sequence that go through the model in one step: [start, start+num_tokens).

    A runner needs nothing else to keep its own copy of the block table up to date.

    Attributes:
        seq_id: The sequence.
        slot: Its row in the device's tables.
        start: Position of the first token to compute; everything before it is in the KV cache.
        num_tokens: How many tokens to compute.
        token_ids: Their values (a tuple or `TokenIds`); empty for decode, where the device already
            holds the one token.
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
    token_ids: Seq[int]
    first_block: int
    new_block_ids: tuple[int, ...]
    samples: bool
    params: SamplingParams
    seed: int
    num_prompt_tokens: int
    history_ids: Seq[int] = ()

    @property
    def end(self) -> int:
        """Length of the sequence's KV once this chunk is computed."""
        return self.start + self.num_tokens

    @property
    def is_decode(self) -> bool:
        """Whether the one input token was sampled by the device itself."""
        return not self.token_ids


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
        packed_events: Every decision of the plan, in the order it was taken.
    """

    step_id: int
    chunks: tuple[Chunk, ...]
    preempted: tuple[int, ...]
    blocked: Blocked | None
    packed_events: tuple[PackedEvent, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        """The decisions, made into objects when read."""
        return unpack_events(self.packed_events)

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
    caused: Mapping[int, tuple[PackedEvent, ...]]

    @property
    def events(self) -> tuple[Event, ...]:
        """Each token with what it caused. Made when read: one object per token is dear to keep."""
        return tuple(self._events())

    def _events(self) -> Iterator[Event]:
        for (seq_id, token_id), position in zip(
            self.new_tokens.items(), self.positions, strict=True
        ):
            yield TokenSampled(seq_id, token_id, position)
            yield from unpack_events(self.caused.get(seq_id, ()))
