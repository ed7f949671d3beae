"""`Fold`: an engine's state rebuilt from what its steps *said*, one event at a time.

    state after step k  =  key frame  +  events and chunks of the steps in between

Nothing is copied while the engine runs: a recording keeps the records and folds them when somebody
asks. That works because a plan returns every decision it took; a fold that disagrees with the live
engine would prove that a decision was not reported (tests/introspect/test_fold.py compares them).

It knows the meaning of each event, not why it happened. Read next: `introspect/recording.py`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from nanovllm_edu.core.events import (
    Admitted,
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockForgotten,
    BlockFreed,
    Event,
    Finished,
    Preempted,
    PrefixHit,
    TokenSampled,
)
from nanovllm_edu.core.plan import Chunk
from nanovllm_edu.core.step_record import BlockState, EngineState, SequenceState, StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect.history import FoldedSequence, History, Request


class Fold:
    """A mutable engine state that advances by applying records."""

    def __init__(self, num_blocks: int, block_size: int, history: History) -> None:
        self.block_size = block_size
        self.history = history
        self.sequences: dict[int, FoldedSequence] = {}
        self.waiting: OrderedDict[int, None] = OrderedDict()
        self.running: OrderedDict[int, None] = OrderedDict()
        self.ref_counts = [0] * num_blocks
        self.hashes: list[int | None] = [None] * num_blocks
        self.evictable: OrderedDict[int, None] = OrderedDict()
        self.num_planned = 0

    @classmethod
    def of_engine(cls, engine: LLMEngine, history: History) -> "Fold":
        """The live engine's state, from which later ones are folded."""
        scheduler = engine.scheduler
        manager = scheduler.block_manager
        fold = cls(manager.num_blocks, manager.block_size, history)
        for seq in chain(scheduler.running.values(), scheduler.waiting.values()):
            history.add(
                Request(
                    seq.seq_id, tuple(seq.token_ids), seq.num_prompt_tokens, seq.params, seq.seed
                )
            )
            fold.sequences[seq.seq_id] = FoldedSequence(
                seq.seq_id,
                len(seq.token_ids),
                seq.num_prompt_tokens,
                seq.num_computed_tokens,
                seq.num_in_flight,
                seq.slot,
                seq.is_decoding,
                list(seq.block_table),
            )
        fold.waiting.update(dict.fromkeys(scheduler.waiting))
        fold.running.update(dict.fromkeys(scheduler.running))
        for block in manager.blocks:
            fold.ref_counts[block.block_id] = block.ref_count
            fold.hashes[block.block_id] = block.hash
            if block.hash is not None:
                history.contents[block.hash] = tuple(block.token_ids)
        fold.evictable.update(dict.fromkeys(manager.evictable))
        return fold

    def copy(self) -> "Fold":
        """An independent fold in the same state (the history is shared)."""
        twin = Fold(0, self.block_size, self.history)
        twin.sequences = {
            seq_id: replace(seq, block_table=list(seq.block_table))
            for seq_id, seq in self.sequences.items()
        }
        twin.waiting, twin.running = self.waiting.copy(), self.running.copy()
        twin.ref_counts, twin.hashes = list(self.ref_counts), list(self.hashes)
        twin.evictable = self.evictable.copy()
        twin.num_planned = self.num_planned
        return twin

    # ----------------------------------------------------------------- what happens

    def add(self, request: Request) -> None:
        """A request joins the queue."""
        self.history.add(request)
        self.sequences[request.seq_id] = FoldedSequence(
            request.seq_id, len(request.token_ids), request.num_prompt_tokens
        )
        self.waiting[request.seq_id] = None

    def plan(self, events: Iterable[Event], chunks: Iterable[Chunk]) -> None:
        """A step is planned: its decisions take effect, and lengths advance."""
        self.apply(events)
        for chunk in chunks:
            self.advance(chunk.seq_id, chunk.num_tokens)
        self.num_planned += 1

    def advance(self, seq_id: int, num_tokens: int) -> bool:
        """Tokens of a sequence go through the model. Returns whether a token is sampled."""
        seq = self.sequences[seq_id]
        seq.num_computed_tokens += num_tokens
        samples = seq.num_computed_tokens == seq.num_tokens
        if samples:
            seq.num_in_flight += 1
            seq.is_decoding = True
        return samples

    def apply(self, events: Iterable[Event]) -> None:
        """Applies events in order."""
        for event in events:
            self._apply(event)

    def reorder(self, eviction_order: tuple[int, ...] | None) -> None:
        """Takes over the order of a policy other than LRU (None: LRU, as folded)."""
        if eviction_order is not None:
            self.evictable = OrderedDict.fromkeys(eviction_order)

    def _apply(self, event: Event) -> None:
        match event:
            case TokenSampled():
                self._sample(event)
            case BlockAllocated():
                self.ref_counts[event.block_id] = 1
                self.sequences[event.seq_id].block_table.append(event.block_id)
            case BlockCached():
                self._cache(event)
            case BlockFreed():
                self._free(event)
            case BlockEvicted():
                self.hashes[event.block_id] = None
                del self.evictable[event.block_id]
            case BlockForgotten():
                self.hashes[event.block_id] = None
                self.evictable.pop(event.block_id, None)  # unless it is in use
            case Admitted():
                self.sequences[event.seq_id].slot = event.slot
                del self.waiting[event.seq_id]
                self.running[event.seq_id] = None
            case PrefixHit():
                self._share(event)
            case Preempted():
                self._preempt(event.seq_id)
            case Finished():
                self.waiting.pop(event.seq_id, None)
                self.running.pop(event.seq_id, None)
                del self.sequences[event.seq_id]
            case _:
                raise AssertionError(f"an event that the fold does not know: {event}")

    def _sample(self, event: TokenSampled) -> None:
        seq = self.sequences[event.seq_id]
        token_ids = self.history.token_ids[event.seq_id]
        if event.position == len(token_ids):
            token_ids.append(event.token_id)
        seq.num_in_flight -= 1
        seq.num_known += 1

    def _cache(self, event: BlockCached) -> None:
        start = event.logical_index * self.block_size
        token_ids = self.history.token_ids[event.seq_id][start : start + self.block_size]
        self.history.contents[event.hash] = tuple(token_ids)
        self.hashes[event.block_id] = event.hash

    def _free(self, event: BlockFreed) -> None:
        block_id = event.block_id
        self.ref_counts[block_id] -= 1
        if self.ref_counts[block_id] == 0 and self.hashes[block_id] is not None:
            self.evictable[block_id] = None
        if event.seq_id in self.sequences:
            self.sequences[event.seq_id].block_table.remove(block_id)

    def _share(self, event: PrefixHit) -> None:
        seq = self.sequences[event.seq_id]
        for block_id in event.block_ids:
            if self.ref_counts[block_id] == 0:
                del self.evictable[block_id]
            self.ref_counts[block_id] += 1
        seq.block_table = list(event.block_ids)
        seq.num_computed_tokens = event.num_tokens

    def _preempt(self, seq_id: int) -> None:
        seq = self.sequences[seq_id]
        seq.num_computed_tokens, seq.slot, seq.is_decoding = 0, None, False
        del self.running[seq_id]
        self.waiting[seq_id] = None
        self.waiting.move_to_end(seq_id, last=False)

    # ----------------------------------------------------------------------- result

    def freeze(self) -> EngineState:
        """What `engine.state()` would return now."""
        return EngineState(
            waiting=tuple(self.waiting),
            running=tuple(self.running),
            block_tables={i: tuple(self.sequences[i].block_table) for i in self.running},
            blocks=tuple(self._block(block_id) for block_id in range(len(self.ref_counts))),
            sequences={i: self._sequence(i) for i in chain(self.running, self.waiting)},
            eviction_order=tuple(self.evictable),
        )

    def _block(self, block_id: int) -> BlockState:
        ref_count, key = self.ref_counts[block_id], self.hashes[block_id]
        state = "used" if ref_count else "free" if key is None else "cached"
        token_ids = () if key is None else self.history.contents[key]
        return BlockState(block_id, ref_count, key, token_ids, state)

    def _sequence(self, seq_id: int) -> SequenceState:
        seq = self.sequences[seq_id]
        return SequenceState(
            seq_id,
            "running" if seq_id in self.running else "waiting",
            tuple(self.history.token_ids[seq_id][: seq.num_known]),
            seq.num_prompt_tokens,
            seq.num_computed_tokens,
            seq.num_in_flight,
            seq.slot,
        )


def split_events(record: StepRecord) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """The events of the plan, and those of the commit: it begins with the first sampled token."""
    events = record.events
    first = (i for i, event in enumerate(events) if isinstance(event, TokenSampled))
    cut = next(first, len(events))
    return events[:cut], events[cut:]
