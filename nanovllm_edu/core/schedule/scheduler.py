"""`Scheduler`: decides, for one step, which tokens of which sequences go through the model.

    plan()    counts advance as if the step were already done; only token *values* are unknown
    commit()  the values arrive: append, finish, free

Because lengths never depend on values, `plan` may be called again before `commit`: that is how the
engine overlaps planning with the device. A sequence that turns out to have ended has then been
scheduled once too often, and `commit` drops the extra token.

Each idea behind these two verbs has a file of its own:

    queues.py       who waits, who runs, and what a running sequence holds
    draft.py        one step while it is being planned
    planning.py     one rule, and no phases: as many tokens of each sequence as fit
    preemption.py   who gives way when blocks are short
    admission.py    who may start, and why the next one must wait
    ending.py       when a sequence is done

It knows nothing of tensors, text or time. Read next: these six, in this order.
"""

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from copy import copy, deepcopy

from nanovllm_edu.core.events import Event, PackedEvent, unpack_events
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import StepPlan, StepResult
from nanovllm_edu.core.request.ending import Ending, FindStop, ending_of
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.admission import check_length, why_head_waits
from nanovllm_edu.core.schedule.planning import fill
from nanovllm_edu.core.schedule.policy import MixedPolicy, SchedulingPolicy
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.step_builder import Draft


class Scheduler:
    """The verbs `plan`, `commit` and `rollback`, on two queues.

    Attributes:
        queues: Where every sequence is.
        policy: Who goes first, and who gives way.
    """

    def __init__(
        self,
        block_manager: BlockManager,
        *,
        policy: SchedulingPolicy | None = None,
        max_num_seqs: int = 64,
        max_num_batched_tokens: int = 2048,
        max_model_len: int = 2048,
        enable_chunked_prefill: bool = True,
        eos_token_ids: frozenset[int] = frozenset(),
    ) -> None:
        """Wires the parts; `EngineConfig` has checked the numbers."""
        self.queues = Queues(block_manager, max_num_seqs)
        self.policy: SchedulingPolicy = policy or MixedPolicy()
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_model_len = max_model_len
        self.enable_chunked_prefill = enable_chunked_prefill
        self.eos_token_ids = eos_token_ids
        self._num_plans = 0

    def fork(
        self,
        *,
        policy: SchedulingPolicy | None,
        max_num_batched_tokens: int,
        enable_chunked_prefill: bool,
    ) -> "Scheduler":
        """A copy in the same state, under another budget and policy (None copies this one's)."""
        twin = copy(self)
        # One deepcopy of both: a policy that remembers sequences must remember the copies.
        twin.queues, own_policy = deepcopy((self.queues, self.policy))
        twin.policy = policy or own_policy
        twin.max_num_batched_tokens = max_num_batched_tokens
        twin.enable_chunked_prefill = enable_chunked_prefill
        return twin

    # -------------------------------------------------------------------- queues

    @property
    def waiting(self) -> OrderedDict[int, Sequence]:
        """Sequences without blocks, first to be admitted first."""
        return self.queues.waiting

    @property
    def running(self) -> OrderedDict[int, Sequence]:
        """Sequences that own blocks and a slot, in order of admission."""
        return self.queues.running

    @property
    def block_manager(self) -> BlockManager:
        """Who owns which block. Another one may be put here while nothing runs."""
        return self.queues.block_manager

    @block_manager.setter
    def block_manager(self, block_manager: BlockManager) -> None:
        self.queues.block_manager = block_manager

    @property
    def max_num_seqs(self) -> int:
        """At most this many sequences run at once."""
        return self.queues.max_num_seqs

    def sequence(self, seq_id: int) -> Sequence:
        """The unfinished sequence with this id.

        Raises:
            UnknownRequestError: There is none.
        """
        return self.queues.sequence(seq_id)

    def add(self, seq: Sequence) -> None:
        """Puts a new sequence at the end of the waiting queue, and writes into it where it ends.

        Raises:
            PromptTooLongError: It could never get a token.
        """
        check_length(seq, self.max_model_len, self.block_manager)
        seq.max_num_tokens = min(seq.max_num_tokens, self.max_model_len)
        if not seq.params.ignore_eos:
            seq.ending_token_ids |= self.eos_token_ids
        self.queues.add(seq)

    def abort(self, seq_id: int) -> tuple[Event, ...]:
        """Ends a sequence now. A token of it that is still in flight will be dropped.

        Raises:
            UnknownRequestError: It was never added or has finished.
        """
        return unpack_events(self.queues.finish(self.sequence(seq_id), "abort", "it was aborted"))

    def check_invariants(self) -> None:
        """Fails an assertion if queues, slots and blocks contradict each other."""
        self.queues.check_invariants()

    # ---------------------------------------------------------------------- plan

    def plan(self) -> StepPlan:
        """Decides the next step. An empty plan means that nothing can run now."""
        draft = Draft(
            self.queues, self.policy, self.max_num_batched_tokens, self.enable_chunked_prefill
        )
        try:
            fill(draft)
            return self._finish_plan(draft)
        except BaseException:
            self.queues.undo(draft.chunks, "the plan was given up half-way")
            raise

    def _finish_plan(self, draft: Draft) -> StepPlan:
        step_id, self._num_plans = self._num_plans, self._num_plans + 1
        return StepPlan(
            step_id,
            tuple(draft.chunks),
            tuple(draft.preempted),
            why_head_waits(draft),
            tuple(draft.events),
        )

    def rollback(self, plans: Seq[StepPlan]) -> None:
        """Undoes launched plans whose device work failed, oldest plan first in `plans`.

        Their sequences keep every known token and go back to the head of the queue. What is in the
        cache can no longer be trusted, so nothing of it stays findable.
        """
        chunks = [chunk for plan in plans for chunk in plan.chunks]
        self.queues.undo(chunks, "the device failed in the middle of its step")

    # -------------------------------------------------------------------- commit

    def commit(
        self, plan: StepPlan, tokens: Mapping[int, int], find_stop: FindStop | None = None
    ) -> StepResult:
        """Appends the sampled tokens, caches blocks that became full, finishes what has ended.

        Args:
            plan: A launched plan; plans are committed in the order they were made.
            tokens: The sampled token of each sequence whose chunk samples.
            find_stop: Checks stop strings; needed only if a request has some.
        """
        # Decide first, then do: a stop string is looked for in decoded text, and if that raises,
        # no sequence must have moved.
        due = self._due(plan, tokens, find_stop)
        new_tokens: dict[int, int] = {}
        positions: list[int] = []
        finished: dict[int, str] = {}
        caused: dict[int, tuple[PackedEvent, ...]] = {}
        block_manager = self.queues.block_manager
        block_size = block_manager.block_size
        for seq, token_id, ending in due:
            position = len(seq.token_ids)
            new_tokens[seq.seq_id] = token_id
            positions.append(position)
            seq.token_ids.append(token_id)
            seq.num_in_flight -= 1
            if ending or (position + 1) % block_size == 0:
                events = block_manager.cache_full_blocks(seq)
                if ending:
                    finished[seq.seq_id] = ending.reason
                    events += self.queues.finish(seq, *ending)
                caused[seq.seq_id] = tuple(events)
        return StepResult(plan.step_id, new_tokens, tuple(positions), finished, caused)

    def _due(
        self, plan: StepPlan, tokens: Mapping[int, int], find_stop: FindStop | None
    ) -> list[tuple[Sequence, int, Ending | None]]:
        """Each sequence that gets a token, the token, and how it ends if it does."""
        due: list[tuple[Sequence, int, Ending | None]] = []
        find = self.queues.find
        for chunk in plan.chunks:
            seq = find(chunk.seq_id) if chunk.samples else None
            if seq is None:
                continue  # no token is due, or it has ended meanwhile
            token_id = tokens[chunk.seq_id]
            may_end = (
                len(seq.token_ids) + 1 >= seq.max_num_tokens
                or token_id in seq.ending_token_ids
                or seq.params.stop
            )
            due.append((seq, token_id, ending_of(seq, token_id, find_stop) if may_end else None))
        return due
