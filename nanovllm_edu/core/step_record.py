"""What a person sees of the engine: `StepRecord` (one step) and `EngineState` (one moment).

Both are frozen snapshots, equal when what they describe is equal, with a deterministic text form
and an HTML form for notebooks. Neither holds a live object, so keeping thousands of them is cheap
and safe.

Read next: `engine.py`, which makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.events import Event
from nanovllm_edu.core.packed import PackedField
from nanovllm_edu.core.plan import Blocked, Chunk, TokenLogprobs


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """Everything that one `engine.step()` decided and did.

    Attributes:
        step_id: Ascending from 0.
        chunks: The work, in batch order.
        new_tokens: seq_id -> sampled token id.
        finished: seq_id -> reason ("stop" or "length").
        events: Every decision, in order, each with its reason (`event.why`).
        waiting: seq_ids that wait, head first, after the step.
        running: seq_ids that run, after the step.
        block_tables: seq_id -> physical block ids, as the step used them (sequences that finished
            in it included).
        blocked: Why the head of the queue waits, or None.
        preempted: seq_ids sent back to wait.
        logprobs: seq_id -> log probabilities, where asked for.
        num_in_flight: Later steps that were already planned when this one was committed; 0 unless
            `run` plans ahead. It tells in which order plans and commits took effect.
        timings: Seconds of the phases plan, prepare, forward, sample, commit. Not compared.
    """

    step_id: int
    chunks: PackedField[tuple[Chunk, ...]] = PackedField()
    new_tokens: Mapping[int, int]
    finished: Mapping[int, str]
    events: PackedField[tuple[Event, ...]] = PackedField()
    waiting: tuple[int, ...]
    running: tuple[int, ...]
    block_tables: PackedField[Mapping[int, tuple[int, ...]]] = PackedField()
    blocked: Blocked | None
    preempted: tuple[int, ...] = ()
    logprobs: Mapping[int, TokenLogprobs] = field(default_factory=dict[int, TokenLogprobs])
    num_in_flight: int = 0
    timings: Mapping[str, float] = field(
        default_factory=dict[str, float], compare=False, repr=False
    )

    @property
    def num_tokens(self) -> int:
        """Tokens that went through the model."""
        return sum(chunk.num_tokens for chunk in self.chunks)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values (seq_ids become string keys)."""
        return {
            "step_id": self.step_id,
            "chunks": [
                {
                    "seq_id": c.seq_id,
                    "slot": c.slot,
                    "start": c.start,
                    "num_tokens": c.num_tokens,
                    "token_ids": list(c.token_ids),
                    "first_block": c.first_block,
                    "new_block_ids": list(c.new_block_ids),
                    "samples": c.samples,
                }
                for c in self.chunks
            ],
            "new_tokens": {str(k): v for k, v in self.new_tokens.items()},
            "finished": {str(k): v for k, v in self.finished.items()},
            "events": [event.to_dict() for event in self.events],
            "waiting": list(self.waiting),
            "running": list(self.running),
            "block_tables": {str(k): list(v) for k, v in self.block_tables.items()},
            "blocked": self.blocked.to_dict() if self.blocked else None,
            "preempted": list(self.preempted),
            "num_in_flight": self.num_in_flight,
            "timings": dict(self.timings),
        }

    def __repr__(self) -> str:
        chunks = ", ".join(
            f"seq {c.seq_id} [{c.start}, {c.end})" + (" decode" if c.is_decode else "")
            for c in self.chunks
        )
        lines = [
            f"StepRecord {self.step_id}: {html.counted(self.num_tokens, 'token')}",
            f"  chunks   {chunks or '(none)'}",
            f"  tokens   {dict(self.new_tokens)}",
            f"  running  {list(self.running)}   waiting  {list(self.waiting)}",
        ]
        if self.finished:
            lines.append(f"  finished {dict(self.finished)}")
        if self.blocked:
            lines.append(f"  blocked  {self.blocked.why}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (
                c.seq_id,
                "decode" if c.is_decode else "prefill",
                f"[{c.start}, {c.end})",
                list(self.block_tables.get(c.seq_id, ())),
                list(c.new_block_ids) or "",
                self.new_tokens.get(c.seq_id, ""),
                self.finished.get(c.seq_id, ""),
            )
            for c in self.chunks
        ]
        header = ("seq", "work", "positions", "block table", "new blocks", "token", "finished")
        tokens = html.counted(self.num_tokens, "token")
        title = f"Step {self.step_id}: {tokens} of {html.counted(len(self.chunks), 'sequence')}"
        notes = [f"running {list(self.running)} · waiting {list(self.waiting)}"]
        notes += [self.blocked.why] if self.blocked else []
        notes += [event.why for event in self.events]
        return html.table(title, header, rows) + "".join(map(html.paragraph, notes))


@dataclass(frozen=True, slots=True)
class BlockState:
    """One physical block at one moment. `state` is "free", "cached" or "used"."""

    block_id: int
    ref_count: int
    hash: int | None
    token_ids: tuple[int, ...]
    state: str


@dataclass(frozen=True, slots=True)
class SequenceState:
    """One unfinished sequence at one moment."""

    seq_id: int
    status: str
    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    num_computed_tokens: int
    num_in_flight: int
    slot: int | None


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine at one moment: two of them are equal when the engine is.

    Attributes:
        waiting: seq_ids, head first.
        running: seq_ids in order of admission.
        block_tables: seq_id -> physical block ids of each running sequence.
        blocks: Every physical block.
        sequences: seq_id -> the unfinished sequence.
        eviction_order: Cached blocks without a user, next to be evicted first.
    """

    waiting: tuple[int, ...]
    running: tuple[int, ...]
    block_tables: Mapping[int, tuple[int, ...]]
    blocks: tuple[BlockState, ...]
    sequences: Mapping[int, SequenceState]
    eviction_order: tuple[int, ...] = ()

    def num_blocks(self, state: str) -> int:
        """How many blocks are "free", "cached" or "used"."""
        return sum(block.state == state for block in self.blocks)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; hashes as 16 hex digits."""
        return {
            "waiting": list(self.waiting),
            "running": list(self.running),
            "block_tables": {str(k): list(v) for k, v in self.block_tables.items()},
            "blocks": [
                {
                    "block_id": b.block_id,
                    "ref_count": b.ref_count,
                    "hash": None if b.hash is None else f"{b.hash:016x}",
                    "token_ids": list(b.token_ids),
                    "state": b.state,
                }
                for b in self.blocks
            ],
            "sequences": {
                str(s.seq_id): {
                    "status": s.status,
                    "token_ids": list(s.token_ids),
                    "num_prompt_tokens": s.num_prompt_tokens,
                    "num_computed_tokens": s.num_computed_tokens,
                    "num_in_flight": s.num_in_flight,
                    "slot": s.slot,
                }
                for s in self.sequences.values()
            },
            "eviction_order": list(self.eviction_order),
        }

    def __repr__(self) -> str:
        tables = "".join(
            f"\n  seq {seq_id}: blocks {list(table)}" for seq_id, table in self.block_tables.items()
        )
        return (
            f"EngineState: waiting {list(self.waiting)}, running {list(self.running)}\n"
            f"  blocks: {self.num_blocks('used')} used, {self.num_blocks('cached')} cached, "
            f"{self.num_blocks('free')} free of {len(self.blocks)}{tables}"
        )

    def _repr_html_(self) -> str:
        sequences = [
            (s.seq_id, s.status, s.slot, len(s.token_ids), s.num_computed_tokens, list(table))
            for s in self.sequences.values()
            for table in [self.block_tables.get(s.seq_id, ())]
        ]
        blocks = [
            (
                b.block_id,
                b.state,
                b.ref_count,
                "" if b.hash is None else f"{b.hash:016x}",
                list(b.token_ids),
            )
            for b in self.blocks
            if b.state != "free"
        ]
        counts = ", ".join(f"{self.num_blocks(s)} {s}" for s in ("used", "cached", "free"))
        return html.table(
            f"Sequences: {len(self.running)} running, {len(self.waiting)} waiting",
            ("seq", "status", "slot", "tokens", "computed", "block table"),
            sequences,
        ) + html.table(
            f"Blocks: {counts}", ("block", "state", "ref count", "hash", "tokens"), blocks
        )
