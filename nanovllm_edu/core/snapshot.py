"""`snapshot`: the whole state of the core at one moment, frozen.

Everything is copied: what the engine does next changes nothing in a snapshot that was taken.

Read next: `core/step_record.py`, where `EngineState` is defined.
"""

from itertools import chain

from nanovllm_edu.core.memory.block_manager import Block
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.core.step_record import BlockState, EngineState, SequenceState


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
    return BlockState(
        block.block_id, block.ref_count, block.hash, tuple(block.token_ids), block.state
    )


def _sequence_state(seq: Sequence) -> SequenceState:
    return SequenceState(
        seq.seq_id,
        seq.status.value,
        tuple(seq.token_ids),
        seq.num_prompt_tokens,
        seq.num_computed_tokens,
        seq.num_in_flight,
        seq.slot,
    )
