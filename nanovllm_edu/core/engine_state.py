"""`EngineState`: the whole state of the core at one moment, frozen.

Everything is copied: what the engine does next changes nothing in a snapshot that was taken. Two
of them are equal when the engine is.

Read next: `engine.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.memory.blocks import Block
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler


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
    num_claimed: int
    row: int | None


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
                    "num_claimed": s.num_claimed,
                    "row": s.row,
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
            (s.seq_id, s.status, row, len(s.token_ids), s.num_computed_tokens, list(table))
            for s in self.sequences.values()
            for table in [self.block_tables.get(s.seq_id, ())]
            for row in ["" if s.row is None else s.row]
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
            ("seq", "status", "row", "tokens", "computed", "block table"),
            sequences,
        ) + html.table(
            f"Blocks: {counts}", ("block", "state", "ref count", "hash", "tokens"), blocks
        )


def snapshot(scheduler: Scheduler) -> EngineState:
    """A frozen picture of queues, block tables and blocks."""
    running, waiting = scheduler.running, scheduler.waiting
    return EngineState(
        waiting=tuple(waiting),
        running=tuple(running),
        block_tables={i: tuple(seq.block_table) for i, seq in running.items()},
        blocks=tuple(map(_block_state, scheduler.block_manager.blocks)),
        sequences={
            seq.seq_id: _sequence_state(seq) for seq in chain(running.values(), waiting.values())
        },
        eviction_order=tuple(scheduler.block_manager.evictable),
    )


def _block_state(block: Block) -> BlockState:
    content = block.content
    token_ids = () if content is None else tuple(content.token_ids)
    key = None if content is None else content.hash
    return BlockState(block.block_id, block.ref_count, key, token_ids, block.state)


def _sequence_state(seq: Sequence) -> SequenceState:
    return SequenceState(
        seq.seq_id,
        seq.status.value,
        tuple(seq.token_ids),
        seq.num_prompt_tokens,
        seq.num_computed_tokens,
        seq.num_claimed,
        seq.row,
    )
