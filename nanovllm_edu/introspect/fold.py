"""`Fold`: an engine's state rebuilt from what its steps *said*, one event at a time.

    state after step k  =  key frame  +  plans and commits of the steps in between

Nothing is copied while the engine runs: a recording keeps the records and folds them when somebody
asks. That works because a plan returns every decision it took; a fold that disagrees with the live
engine would prove that a decision was not reported (tests/introspect/test_fold.py compares them).

This is the one place where an event becomes a change. What others show, the viewer in a browser
included, is what a fold came to (`introspect/view.py`).

It knows the meaning of each event, not why it happened. Read next: `introspect/recording.py`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, compress

from nanovllm_edu.core.engine_state import BlockState, EngineState, SequenceState
from nanovllm_edu.core.events import (
    Admitted,
    BlockEvicted,
    BlocksAllocated,
    BlocksCached,
    BlocksFreed,
    DraftFailed,
    DraftVerified,
    Event,
    Finished,
    Preempted,
    PrefixHit,
)
from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect.history import Content, FoldedSequence, History, Request


class Fold:
    """A mutable engine state that advances by applying plans and commits.

    Attributes:
        touched_seqs: Sequences that a request or an event may have changed since somebody emptied
            this set. Those whose tokens went through the model are in the plan and the record.
        touched_blocks: Blocks likewise.
        ended: Sequences that ended since then, as they were.
    """

    def __init__(self, num_blocks: int, block_size: int, history: History) -> None:
        self.block_size = block_size
        self.history = history
        self.sequences: dict[int, FoldedSequence] = {}
        self.waiting: OrderedDict[int, None] = OrderedDict()
        self.running: OrderedDict[int, None] = OrderedDict()
        self.ref_counts = [0] * num_blocks
        self.contents: list[Content | None] = [None] * num_blocks
        self.evictable: OrderedDict[int, None] = OrderedDict()
        self.num_planned = 0
        self.touched_seqs: set[int] = set()
        self.touched_blocks: set[int] = set()
        self.ended: dict[int, FoldedSequence] = {}

    @classmethod
    def of_engine(cls, engine: LLMEngine, history: History) -> "Fold":
        """The live engine's state, from which later ones are folded."""
        scheduler = engine.scheduler
        manager = scheduler.block_manager
        fold = cls(manager.num_blocks, manager.block_size, history)
        for seq in chain(scheduler.running.values(), scheduler.waiting.values()):
            token_ids = tuple(seq.token_ids)
            history.add(Request(seq.seq_id, token_ids, seq.num_prompt_tokens, seq.params, seq.seed))
            fold.sequences[seq.seq_id] = FoldedSequence(
                seq.seq_id,
                len(token_ids),
                seq.num_prompt_tokens,
                seq.num_computed_tokens,
                seq.num_claimed,
                seq.row,
                list(seq.block_table),
            )
        fold.waiting.update(dict.fromkeys(scheduler.waiting))
        fold.running.update(dict.fromkeys(scheduler.running))
        for block in manager.blocks:
            fold.ref_counts[block.block_id] = block.ref_count
            if block.content is not None:
                content = Content(block.content.hash, tuple(block.content.token_ids))
                fold.contents[block.block_id] = content
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
        twin.ref_counts, twin.contents = list(self.ref_counts), list(self.contents)
        twin.evictable = self.evictable.copy()
        twin.num_planned = self.num_planned
        return twin

    def as_beginning(self) -> "Fold":
        """The same state with nothing before it: of what has ended, only cached tokens are left."""
        fold = self.copy()
        fold.history = History()
        for seq in fold.sequences.values():
            known = tuple(self.history.token_ids[seq.seq_id][: seq.num_known])
            fold.history.add(replace(self.history.requests[seq.seq_id], token_ids=known))
        fold.contents = [
            Content(content.hash, content.token_ids)
            if content and content.seq_id not in fold.sequences
            else content
            for content in fold.contents
        ]
        return fold

    def become(self, other: "Fold") -> None:
        """Takes over the state of another one, which may differ anywhere."""
        touched_seqs = {*self.sequences, *other.sequences}
        self.__dict__.update(other.copy().__dict__)
        self.touched_seqs, self.touched_blocks = touched_seqs, set(range(len(self.ref_counts)))

    # ----------------------------------------------------------------- what happens

    def add(self, request: Request) -> None:
        """A request joins the queue."""
        self.history.add(request)
        self.sequences[request.seq_id] = FoldedSequence(
            request.seq_id, len(request.token_ids), request.num_prompt_tokens
        )
        self.waiting[request.seq_id] = None
        self.touched_seqs.add(request.seq_id)

    def plan(self, plan: StepPlan) -> None:
        """A step is planned: its decisions take effect, and it claims its tokens."""
        self.apply(plan.events)
        spans = plan.spans
        for seq_id, num_tokens, num_drafted, is_sampled in zip(
            spans.seq_ids, spans.nums_of_tokens, spans.nums_drafted, spans.are_sampled, strict=True
        ):
            self.advance(seq_id, num_tokens, num_drafted + 1 if is_sampled else 0)
        self.num_planned += 1

    def advance(self, seq_id: int, num_tokens: int, num_claimed: int) -> None:
        """Tokens of a sequence go through the model, and at most so many come back."""
        seq = self.sequences[seq_id]
        seq.num_computed_tokens += num_tokens
        seq.num_claimed += num_claimed

    def commit(self, record: StepRecord) -> None:
        """A step's tokens are here. What was claimed and did not come is handed back."""
        spans, new, settle = record.spans, record.new_tokens, self.history.settle
        for seq_id, num_drafted in compress(
            zip(spans.seq_ids, spans.nums_drafted, strict=True), spans.are_sampled
        ):
            seq = self.sequences.get(seq_id)
            if seq is None:
                continue  # it has ended meanwhile
            tokens, num_claimed = new.get(seq_id, ()), num_drafted + 1
            settle(seq_id, seq.num_known, tokens)
            seq.num_known += len(tokens)
            seq.num_claimed -= num_claimed
            if len(tokens) != num_claimed and seq.row is not None:
                seq.num_computed_tokens -= num_claimed - len(tokens)
        self.apply(record.effects)

    def apply(self, events: Iterable[Event]) -> None:
        """Applies events in order."""
        for event in events:
            self.touched_seqs.add(event.seq_id)
            self._apply(event)

    def reorder(self, eviction_order: tuple[int, ...] | None) -> None:
        """Takes over the order of a policy other than LRU (None: LRU, as folded)."""
        if eviction_order is not None:
            self.evictable = OrderedDict.fromkeys(eviction_order)

    def _apply(self, event: Event) -> None:
        match event:
            case BlocksAllocated():
                self._allocate(event)
            case BlocksCached():
                self._cache(event)
            case BlocksFreed():
                self._free(event)
            case BlockEvicted():
                self.contents[event.block_id] = None
                del self.evictable[event.block_id]
                self.touched_blocks.add(event.block_id)
            case Admitted():
                self.sequences[event.seq_id].row = event.row
                del self.waiting[event.seq_id]
                self.running[event.seq_id] = None
            case PrefixHit():
                self._share(event)
            case Preempted():
                self._preempt(event.seq_id)
            case Finished():
                self.waiting.pop(event.seq_id, None)
                self.running.pop(event.seq_id, None)
                self.ended[event.seq_id] = self.sequences.pop(event.seq_id)
            case DraftVerified() | DraftFailed():
                pass  # said for the reader: `commit` counts the tokens that came
            case _:
                raise AssertionError(f"an event that the fold does not know: {event}")

    def _allocate(self, event: BlocksAllocated) -> None:
        for block_id in event.block_ids:
            self.ref_counts[block_id] = 1
        self.sequences[event.seq_id].block_table[event.first :] = event.block_ids
        self.touched_blocks.update(event.block_ids)

    def _cache(self, event: BlocksCached) -> None:
        known, size = self.history.token_ids[event.seq_id], self.block_size
        hashes = event.hashes or (None,) * len(event.block_ids)
        for block_id, index, key in zip(event.block_ids, event.indices, hashes, strict=True):
            token_ids = tuple(known[index * size : (index + 1) * size])
            self.contents[block_id] = Content(key, token_ids, event.seq_id, index)
        self.touched_blocks.update(event.block_ids)

    def _free(self, event: BlocksFreed) -> None:
        """Of a sequence that is gone, that waits again, or that goes on with a shorter table."""
        for block_id, ref_count in zip(event.block_ids, event.ref_counts, strict=True):
            self.ref_counts[block_id] = ref_count
            if ref_count == 0 and self.contents[block_id] is not None:
                self.evictable[block_id] = None
        if event.seq_id in self.sequences:
            table = self.sequences[event.seq_id].block_table
            del table[len(table) - len(event.block_ids) :]
        self.touched_blocks.update(event.block_ids)

    def _share(self, event: PrefixHit) -> None:
        seq = self.sequences[event.seq_id]
        for block_id in event.block_ids:
            if self.ref_counts[block_id] == 0:
                del self.evictable[block_id]
            self.ref_counts[block_id] += 1
        seq.block_table = list(event.block_ids)
        seq.num_computed_tokens = event.num_tokens
        self.touched_blocks.update(event.block_ids)

    def _preempt(self, seq_id: int) -> None:
        seq = self.sequences[seq_id]
        seq.num_computed_tokens, seq.row = 0, None
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
        ref_count, content = self.ref_counts[block_id], self.contents[block_id]
        if content is None:
            return BlockState(block_id, ref_count, None, (), "used" if ref_count else "free")
        state = "used" if ref_count else "cached"
        return BlockState(block_id, ref_count, content.hash, content.token_ids, state)

    def _sequence(self, seq_id: int) -> SequenceState:
        seq = self.sequences[seq_id]
        return SequenceState(
            seq_id,
            "running" if seq_id in self.running else "waiting",
            tuple(self.history.token_ids[seq_id][: seq.num_known]),
            seq.num_prompt_tokens,
            seq.num_computed_tokens,
            seq.num_claimed,
            seq.row,
        )
