"""`Scheduler`: decides, for one step, which tokens of which sequences go through the model.

    plan()    claims: counts advance as if the step were already done; only *values* are unknown
    commit()  settles: the values arrive; append, hand back what did not come, finish, free

How many tokens come at most does not depend on their values, so `plan` may be called again before
`commit`: that is how the engine overlaps planning with the device. A sequence that turns out to
have ended has then been scheduled once too often, and `commit` drops the extra token.

Each idea behind these two verbs has a file of its own:

    queues.py          who waits, who runs, and what a running sequence holds
    step_builder.py    one rule, and no phases: as many tokens of each sequence as fit
    preemption.py      who gives way when blocks are short
    policy.py          who goes first
    draft_proposer.py  guesses, so that one step can settle several tokens

It knows nothing of tensors, text or time. Read next: these five, in this order.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import compress

from nanovllm_edu.core.events import DraftVerified, Event
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.ending import Ending, settle
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.core.schedule.policy import MixedPolicy, SchedulingPolicy
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.step_builder import StepBuilder
from nanovllm_edu.errors import PromptTooLongError


@dataclass(frozen=True, slots=True)
class Settled:
    """What a commit did.

    Attributes:
        new_tokens: The tokens appended to each sequence.
        finished: Reason of each sequence that ended.
        events: What the tokens brought about: newly cached blocks, verified guesses, endings.
    """

    new_tokens: Mapping[int, tuple[int, ...]]
    finished: Mapping[int, str]
    events: tuple[Event, ...]


class Scheduler:
    """The verbs `plan`, `commit` and `take_back`, on two queues.

    Attributes:
        queues: Where every sequence is.
        policy: Who goes first, and who gives way.
        draft_proposer: Guesses tokens; None leaves one token for each step.
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
        draft_proposer: DraftProposer | None = None,
        vocab_size: int = 2**31,
        prefill_chunk_size: int | None = None,
    ) -> None:
        """Wires the parts; `EngineConfig` has checked the numbers."""
        self.queues = Queues(block_manager, max_num_seqs)
        self.policy: SchedulingPolicy = policy or MixedPolicy()
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_model_len = max_model_len
        self.enable_chunked_prefill = enable_chunked_prefill
        self.eos_token_ids = eos_token_ids
        self.draft_proposer = draft_proposer
        self.vocab_size = vocab_size
        self.prefill_chunk_size = prefill_chunk_size
        self._num_plans = 0
        self._unsaid: tuple[Event, ...] = ()

    def fork(
        self,
        *,
        policy: SchedulingPolicy | None,
        max_num_batched_tokens: int,
        enable_chunked_prefill: bool,
        prefill_chunk_size: int | None,
    ) -> "Scheduler":
        """A copy in the same state, under another budget and policy (None copies this one's)."""
        twin = copy(self)
        # One deepcopy of both: a policy that remembers sequences must remember the copies.
        twin.queues, own_policy = deepcopy((self.queues, self.policy))
        twin.policy = policy or own_policy
        twin.max_num_batched_tokens = max_num_batched_tokens
        twin.enable_chunked_prefill = enable_chunked_prefill
        twin.prefill_chunk_size = prefill_chunk_size
        return twin

    # -------------------------------------------------------------------- queues

    @property
    def waiting(self) -> OrderedDict[int, Sequence]:
        """Sequences without blocks, first to be admitted first."""
        return self.queues.waiting

    @property
    def running(self) -> OrderedDict[int, Sequence]:
        """Sequences that own blocks and a row, in order of admission."""
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

    def add(self, *seqs: Sequence) -> None:
        """Puts new sequences at the end of the waiting queue, or none of them if one does not fit.

        Raises:
            PromptTooLongError: It could never get a token.
        """
        for seq in seqs:
            self._fit(seq)
        for seq in seqs:
            self.queues.add(seq)

    def _fit(self, seq: Sequence) -> None:
        """Writes into a new sequence where it ends."""
        if len(seq.token_ids) >= self.max_model_len:
            manager = self.block_manager
            raise PromptTooLongError(
                f"the prompt has {len(seq.token_ids)} tokens, and "
                f"max_model_len={self.max_model_len} leaves no room for a generated one; shorten "
                f"it, or raise max_model_len or num_blocks ({manager.num_blocks} blocks of "
                f"{manager.block_size})."
            )
        seq.max_num_tokens = min(seq.max_num_tokens, self.max_model_len)
        if not seq.params.ignore_eos:
            seq.ending_token_ids |= self.eos_token_ids

    def update_sampling(self, seq_id: int, params: SamplingParams) -> None:
        """Samples a sequence differently from the next plan on.

        Raises:
            UnknownRequestError: It was never added or has finished.
        """
        self.sequence(seq_id).params = params
        self.queues.resampled.add(seq_id)

    def abort(self, seq_id: int) -> tuple[Event, ...]:
        """Ends a sequence now. Tokens of it that are still in flight will be dropped.

        Raises:
            UnknownRequestError: It was never added or has finished.
        """
        return tuple(self.queues.finish(self.sequence(seq_id), Ending("abort", "it was aborted")))

    def check_invariants(self) -> None:
        """Fails an assertion if queues, rows and blocks contradict each other."""
        self.queues.check_invariants()

    # ---------------------------------------------------------------------- plan

    def plan(self) -> StepPlan:
        """Decides the next step. A plan without spans means that nothing can run now."""
        builder = StepBuilder(
            self.queues,
            self.policy,
            self.max_num_batched_tokens,
            self.enable_chunked_prefill,
            self.draft_proposer,
            self.vocab_size,
            self.prefill_chunk_size,
        )
        builder.events += self._unsaid
        try:
            builder.fill()
        except BaseException:
            self.queues.take_back([builder.plan(-1)], "the plan was given up half-way")
            raise
        step_id, self._num_plans, self._unsaid = self._num_plans, self._num_plans + 1, ()
        return builder.plan(step_id)

    def withdraw(self, plan: StepPlan) -> None:
        """The newest plan has no spans and is not launched: the next one says what it said."""
        assert not plan.spans
        self._num_plans = plan.step_id
        self._unsaid = plan.events
        self.queues.unsay(plan)

    def take_back(self, plans: list[StepPlan], *, is_device_lost: bool = False) -> None:
        """Undoes launched plans whose device work failed, oldest plan first in `plans`.

        Their sequences keep every known token and go back to the head of the queue; so do all
        others if the device is lost. What is in the cache can no longer be trusted, so nothing of
        it stays findable.
        """
        if is_device_lost:
            self.queues.take_back(
                plans, "the device was lost, and its cache with it", everybody=True
            )
        else:
            self.queues.take_back(plans, "the device failed in the middle of its step")

    # -------------------------------------------------------------------- commit

    def commit(self, plan: StepPlan, output: StepOutput, now: float = 0.0) -> Settled:
        """Appends the tokens that came, publishes blocks that became full, finishes what ended.

        Args:
            plan: A launched plan; plans are committed in the order they were made.
            output: What the device gave back for it.
            now: The time that is written down for the tokens.
        """
        new_tokens: dict[int, tuple[int, ...]] = {}
        finished: dict[int, str] = {}
        events: list[Event] = []
        block_manager = self.queues.block_manager
        block_size = block_manager.block_size
        for seq, tokens, num_claimed, ending in self._due(plan, output):
            if tokens:
                new_tokens[seq.seq_id] = tokens
            num_before = len(seq.token_ids)
            num_tokens = num_before + len(tokens)
            seq.token_ids.extend(tokens)
            seq.token_times.extend([now] * len(tokens))
            if seq.seq_id in output.logprobs:
                seq.logprobs += output.logprobs[seq.seq_id][: len(tokens)]
            seq.num_claimed -= num_claimed
            if num_claimed > len(tokens):
                self._hand_back(seq, num_claimed - len(tokens), events)
            if num_tokens // block_size != num_before // block_size and seq.row is not None:
                events += block_manager.publish(seq)  # a block was full and waited for a value
            if ending:
                finished[seq.seq_id] = ending.reason
                events += self.queues.finish(seq, ending)
        if any(plan.spans.nums_drafted):
            events[:0] = _verified(plan, output, new_tokens)
        return Settled(new_tokens, finished, tuple(events))

    def check_output(self, plan: StepPlan, output: StepOutput) -> None:
        """Asked before a commit, which must not fail half-way.

        Raises:
            KeyError: A sampled sequence has neither tokens nor an error.
        """
        sampled = set(compress(plan.spans.seq_ids, plan.spans.are_sampled))
        missing = sampled - output.tokens.keys() - output.errors.keys()
        if missing := [seq_id for seq_id in sorted(missing) if self.queues.find(seq_id)]:
            raise KeyError(f"the runner gave back neither tokens nor an error of {missing}")

    def _due(
        self, plan: StepPlan, output: StepOutput
    ) -> Iterator[tuple[Sequence, tuple[int, ...], int, Ending | None]]:
        """Each sampled sequence, its tokens, how many were claimed, and how it ends if it does."""
        find, spans = self.queues.find, plan.spans
        for seq_id, num_drafted, is_sampled in zip(
            spans.seq_ids, spans.nums_drafted, spans.are_sampled, strict=True
        ):
            seq = find(seq_id)
            if seq is None:
                continue  # it has ended meanwhile
            num_claimed = num_drafted + 1 if is_sampled else 0
            if output.errors and seq_id in output.errors:
                yield seq, (), num_claimed, Ending("error", output.errors[seq_id])
            elif is_sampled:
                tokens, ending = settle(seq, output.tokens[seq_id])
                yield seq, tokens, num_claimed, ending

    def _hand_back(self, seq: Sequence, num_surplus: int, events: list[Event]) -> None:
        """Tokens that were claimed did not come: their keys and values count for nothing."""
        if seq.row is not None:  # else it was sent back to wait, and nothing of it is computed
            seq.num_computed_tokens -= num_surplus
            events += self.queues.block_manager.trim(seq, seq.num_computed_tokens)


def _verified(
    plan: StepPlan, output: StepOutput, new_tokens: Mapping[int, tuple[int, ...]]
) -> list[Event]:
    """What became of the guesses."""
    events: list[Event] = []
    for span in plan.spans:
        if span.num_drafted and span.seq_id in new_tokens:
            tokens, drafted = output.tokens[span.seq_id], tuple(span.drafted)
            accepted = len(tokens) - 1
            events.append(DraftVerified(span.seq_id, span.start + 1, drafted, accepted, tokens[-1]))
    return events
