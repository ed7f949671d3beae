"""`Queues`: where every sequence is, and what it holds there.

    add ──► waiting ──── start ────► running ──── finish ──► gone
               ▲                        │
               └────── send_back ───────┘

A waiting sequence holds nothing: no slot, no block, nothing computed. A running one holds a slot
and the blocks of its tokens. Whatever moves a sequence from one to the other gives or takes both at
once; that is why neither can leak.

It does not know *why* a sequence moves: `core/schedule/admission.py`, `core/schedule/preemption.py` and
`core/request/ending.py` do. Read next: `core/schedule/step_builder.py`.
"""

from collections import OrderedDict

from nanovllm_edu.core.events import Finished, PackedEvent, Preempted
from nanovllm_edu.core.memory.block_manager import BlockManager, PrefixMatch
from nanovllm_edu.core.plan import Chunk
from nanovllm_edu.core.request.sequence import Sequence, SequenceStatus
from nanovllm_edu.errors import UnknownRequestError


class Queues:
    """The two queues, the free slots and the blocks.

    Attributes:
        block_manager: Who owns which block.
        max_num_seqs: Slots, free or not: at most this many sequences run.
        waiting: First to be admitted first.
        running: In order of admission.
        free_slots: A stack: the last one is taken first.
    """

    def __init__(self, block_manager: BlockManager, max_num_seqs: int) -> None:
        self.block_manager = block_manager
        self.max_num_seqs = max_num_seqs
        self.waiting: OrderedDict[int, Sequence] = OrderedDict()
        self.running: OrderedDict[int, Sequence] = OrderedDict()
        self.free_slots = list(range(max_num_seqs - 1, -1, -1))

    def find(self, seq_id: int) -> Sequence | None:
        """The unfinished sequence with this id, if there is one."""
        return self.running.get(seq_id) or self.waiting.get(seq_id)

    def sequence(self, seq_id: int) -> Sequence:
        """The unfinished sequence with this id.

        Raises:
            UnknownRequestError: There is none.
        """
        seq = self.find(seq_id)
        if seq is None:
            raise UnknownRequestError(
                f"seq_id={seq_id!r} is not unfinished here; waiting: {list(self.waiting)}, "
                f"running: {list(self.running)}."
            )
        return seq

    def add(self, seq: Sequence) -> None:
        """A new sequence, at the end of the line."""
        self.waiting[seq.seq_id] = seq

    def start(self, seq: Sequence, match: PrefixMatch) -> int:
        """Takes a waiting sequence in, with the blocks found for it. Returns its slot."""
        self.block_manager.share(seq, match)
        slot = self.free_slots.pop()
        seq.slot, seq.status = slot, SequenceStatus.RUNNING
        self.running[seq.seq_id] = self.waiting.pop(seq.seq_id)
        return slot

    def finish(self, seq: Sequence, reason: str, detail: str) -> list[PackedEvent]:
        """Ends a sequence, wherever it is."""
        ending = (Finished, seq.seq_id, reason, len(seq.token_ids), detail)
        seq.finish_reason, seq.status = reason, SequenceStatus.FINISHED
        self.waiting.pop(seq.seq_id, None)
        return [ending, *self._release(seq)]

    def send_back(self, seq: Sequence, for_seq_id: int | None, reason: str) -> list[PackedEvent]:
        """Puts a running sequence at the head of the line. It keeps its tokens, and only them."""
        num_tokens, num_blocks = seq.num_computed_tokens, len(seq.block_table)
        lost = (Preempted, seq.seq_id, for_seq_id, num_tokens, num_blocks, reason)
        freed = self._release(seq)
        seq.status = SequenceStatus.WAITING
        seq.num_preemptions += 1
        self.waiting[seq.seq_id] = seq
        self.waiting.move_to_end(seq.seq_id, last=False)
        return [lost, *freed]

    def undo(self, chunks: list[Chunk], reason: str) -> None:
        """Takes planned work back.

        The sequences return to the head of the line, in order of arrival. What the cache holds can
        no longer be trusted, so nothing of it stays findable.
        """
        for chunk in chunks:
            seq = self.find(chunk.seq_id)
            if seq and chunk.samples:
                seq.num_in_flight -= 1
        for seq_id in sorted({chunk.seq_id for chunk in chunks}, reverse=True):
            if seq_id in self.running:
                self.send_back(self.running[seq_id], None, reason)
        if chunks:
            self.block_manager.reset_prefix_cache()

    def _release(self, seq: Sequence) -> list[PackedEvent]:
        """Takes slot and blocks from a sequence, if it has any."""
        if self.running.pop(seq.seq_id, None) is None:
            return []
        assert seq.slot is not None
        self.free_slots.append(seq.slot)
        seq.slot, seq.is_decoding = None, False
        seq.forget_table()
        return self.block_manager.free(seq)

    def check_invariants(self) -> None:
        """Fails an assertion if queues, slots and blocks contradict each other."""
        running = list(self.running.values())
        slots = [seq.slot for seq in running if seq.slot is not None]
        assert sorted(self.free_slots + slots) == list(range(self.max_num_seqs)), "slot leak"
        assert not set(self.running) & set(self.waiting)
        for seq in self.waiting.values():
            assert seq.status is SequenceStatus.WAITING
            assert seq.num_computed_tokens == 0
            assert not seq.block_table
            assert seq.slot is None
        for seq in running:
            assert seq.status is SequenceStatus.RUNNING
            assert 0 < seq.num_computed_tokens <= seq.num_tokens
        self.block_manager.check_invariants(running)
