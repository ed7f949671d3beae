"""`Queues`: where every sequence is, and what it holds there.

    add ──► waiting ──── start ────► running ──── finish ──► gone
               ▲                        │
               └─────── requeue ────────┘

A waiting sequence holds nothing: no row, no block, nothing computed. A running one holds a row and
the blocks of its tokens. Whatever moves a sequence from one to the other gives or takes both at
once; that is why neither can leak.

It does not know *why* a sequence moves: `core/schedule/step_builder.py` and
`core/request/ending.py` do. Read next: `core/schedule/step_builder.py`.
"""

from collections import OrderedDict

from nanovllm_edu.core.events import Event, Finished, Preempted
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.plan import Joined, SamplingUpdate, StepPlan
from nanovllm_edu.core.request.ending import Ending
from nanovllm_edu.core.request.sequence import Sequence, SequenceStatus
from nanovllm_edu.errors import UnknownRequestError


class Queues:
    """The two queues, the free rows and the blocks.

    Attributes:
        block_manager: Who owns which block.
        max_num_seqs: Rows, free or not: at most this many sequences run.
        waiting: First to be admitted first.
        running: In order of admission.
        free_rows: A stack: the last one is taken first.
        left: Rows given up since the last plan, for the next one to say.
        resampled: Sequences whose sampling changed since then, likewise.
    """

    def __init__(self, block_manager: BlockManager, max_num_seqs: int) -> None:
        self.block_manager = block_manager
        self.max_num_seqs = max_num_seqs
        self.waiting: OrderedDict[int, Sequence] = OrderedDict()
        self.running: OrderedDict[int, Sequence] = OrderedDict()
        self.free_rows = list(range(max_num_seqs - 1, -1, -1))
        self.left: list[int] = []
        self.resampled: set[int] = set()

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

    def start(self, seq: Sequence, match: PrefixMatch) -> Joined:
        """Takes a waiting sequence in, with the blocks found for it, and gives it a row."""
        self.block_manager.share(seq, match)
        row = self.free_rows.pop()
        seq.row, seq.status = row, SequenceStatus.RUNNING
        self.running[seq.seq_id] = self.waiting.pop(seq.seq_id)
        return Joined(
            seq.seq_id, row, seq.token_ids[:], seq.num_prompt_tokens, seq.params, seq.seed
        )

    def news(self) -> tuple[tuple[int, ...], tuple[SamplingUpdate, ...]]:
        """Rows that were given up, and running sequences sampled differently, since last asked."""
        left, resampled = tuple(self.left), sorted(self.resampled)
        self.left, self.resampled = [], set()
        updates = [
            SamplingUpdate(seq.seq_id, seq.row, seq.params)
            for seq in map(self.running.get, resampled)
            if seq is not None and seq.row is not None
        ]
        return left, tuple(updates)

    def unsay(self, plan: StepPlan) -> None:
        """No device has heard of this plan for certain: the next one says its news again."""
        self.left[:0] = plan.left
        self.resampled |= {update.seq_id for update in plan.sampling_updates}

    def finish(self, seq: Sequence, cause: Ending) -> list[Event]:
        """Ends a sequence, wherever it is."""
        reason, detail, seq.stop_reason = cause
        ending = Finished(seq.seq_id, reason, len(seq.token_ids), detail)
        seq.finish_reason, seq.finish_detail = reason, detail
        seq.status = SequenceStatus.FINISHED
        self.waiting.pop(seq.seq_id, None)
        freed = self._release(seq)
        self.block_manager.forget(seq)
        return [ending, *freed]

    def requeue(self, seq: Sequence, for_seq_id: int | None, reason: str) -> list[Event]:
        """Puts a running sequence at the head of the line. It keeps its tokens, and only them."""
        num_tokens, num_blocks = seq.num_computed_tokens, len(seq.block_table)
        lost = Preempted(seq.seq_id, for_seq_id, num_tokens, num_blocks, reason)
        freed = self._release(seq)
        seq.status = SequenceStatus.WAITING
        seq.num_preemptions += 1
        self.waiting[seq.seq_id] = seq
        self.waiting.move_to_end(seq.seq_id, last=False)
        return [lost, *freed]

    def take_back(self, plans: list[StepPlan], reason: str, *, everybody: bool = False) -> None:
        """Undoes planned work that no device has finished.

        The sequences return to the head of the line, in order of arrival. What the cache holds can
        no longer be trusted, so nothing of it stays findable.

        Args:
            plans: Oldest first.
            reason: For a person to read.
            everybody: Whether those who run and are in none of the plans return, too.
        """
        for plan in plans:
            for span in plan.spans.sampled:
                if seq := self.find(span.seq_id):
                    seq.num_claimed -= span.num_claimed
            self.unsay(plan)
        rows = {news.row for plan in plans for news in (*plan.joined, *plan.block_updates)}
        seq_ids = {seq_id for plan in plans for seq_id in plan.spans.seq_ids}
        seq_ids |= {
            seq.seq_id for seq in self.running.values() if everybody or self._is_behind(seq, rows)
        }
        for seq_id in sorted(seq_ids, reverse=True):
            if seq_id in self.running:
                self.requeue(self.running[seq_id], None, reason)
        if seq_ids or everybody:
            self.block_manager.reset_prefix_cache()

    def _is_behind(self, seq: Sequence, rows: set[int]) -> bool:
        """Whether the device may not have heard of all its blocks: news of its row is taken back,
        or the plan was given up before it could be said.
        """
        num_needed = self.block_manager.num_blocks_for(seq.num_computed_tokens)
        return seq.row in rows or len(seq.block_table) != num_needed or num_needed == 0

    def _release(self, seq: Sequence) -> list[Event]:
        """Takes row and blocks from a sequence, if it has any."""
        if self.running.pop(seq.seq_id, None) is None:
            return []
        assert seq.row is not None
        self.free_rows.append(seq.row)
        self.left.append(seq.row)
        seq.row, seq.is_decoding = None, False
        seq.forget_table()
        return self.block_manager.free(seq)

    def check_invariants(self) -> None:
        """Fails an assertion if queues, rows and blocks contradict each other."""
        running = list(self.running.values())
        rows = [seq.row for seq in running if seq.row is not None]
        assert sorted(self.free_rows + rows) == list(range(self.max_num_seqs)), "row leak"
        assert not set(self.running) & set(self.waiting)
        for seq in self.waiting.values():
            assert seq.status is SequenceStatus.WAITING
            assert seq.num_computed_tokens == 0
            assert not seq.block_table
            assert seq.row is None
        for seq in running:
            assert seq.status is SequenceStatus.RUNNING
            assert 0 < seq.num_computed_tokens <= seq.num_tokens
        self.block_manager.check_invariants(running, self.waiting.values())
