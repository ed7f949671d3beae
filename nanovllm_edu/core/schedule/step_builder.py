"""`StepBuilder`: puts into one step as much as fits, by one rule and without phases.

Each sequence has tokens that must still be computed, and the step gives each one, in the policy's
order, as many as are left of its budget and of the free blocks. A prompt that does not fit is cut;
a sequence with a single token left is what others call decode.

    running   goes on, with guessed tokens behind it if there is a proposer; others give way if
              blocks are short (core/schedule/preemption.py)
    waiting   starts, if the step has a row, some budget, and blocks for *all* its tokens, however
              few of them are computed at first: one that starts should not have to give way at
              once. What the cache holds of it costs neither budget nor blocks; nor does what
              another answer to its prompt has (core/schedule/siblings.py).

Everything counts on at once, as if the step were done already: what is planned next, in this step
or in one planned ahead, sees the lengths as they will be.

A policy or a proposer may be a learner's first attempt, so nothing that one returns is taken on
trust. Read next: `core/schedule/preemption.py`, `core/schedule/siblings.py`,
`core/schedule/draft_proposer.py`.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from nanovllm_edu.core.events import Admitted, DraftFailed, Event, PrefixHit, counted
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import (
    BlockCopy,
    Blocked,
    BlockUpdate,
    Joined,
    RowMasks,
    Spans,
    StepPlan,
)
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer, Drafts
from nanovllm_edu.core.schedule.policy import SchedulingPolicy
from nanovllm_edu.core.schedule.preemption import choose_victim
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.siblings import Siblings
from nanovllm_edu.errors import ConfigError

QUEUE_STEPS = 16
"""Of what waits behind the first, a step with decodes takes one part in so many, if that is more
than `prefill_chunk_size`: the queue gets shorter by the same share in each step."""


@dataclass(slots=True)
class StepBuilder:
    """What is in a step so far, and what is left for others.

    Attributes:
        queues: Whom it can take, and the rows it can give. (Options behind it: `EngineConfig`.)
        budget: Tokens that still fit.
        limit: Whose budget that is, for people to read.
        spans: The work, in batch order, each as a plain tuple.
        planned: seq_id of each span -> tokens that are surely in the cache before this step.
        copies: Blocks to copy first.
        masks: What may be drawn for rows with a grammar.
        preempted: seq_ids that had to give way, in that order.
        blocked: Why the first one that was asked cannot run.
        events: Every decision, in the order it was taken.
    """

    queues: Queues
    policy: SchedulingPolicy
    max_num_batched_tokens: int
    enable_chunked_prefill: bool
    draft_proposer: DraftProposer | None = None
    vocab_size: int = 2**31
    prefill_chunk_size: int | None = None
    block_manager: BlockManager = field(init=False)
    budget: int = field(init=False)
    limit: str = field(init=False)
    spans: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    joined: list[Joined] = field(default_factory=list[Joined])
    block_updates: list[BlockUpdate] = field(default_factory=list[BlockUpdate])
    copies: list[BlockCopy] = field(default_factory=list[BlockCopy])
    masks: list[RowMasks] = field(default_factory=list[RowMasks])
    planned: dict[int, int] = field(default_factory=dict[int, int])
    preempted: list[int] = field(default_factory=list[int])
    blocked: Blocked | None = None
    events: list[Event] = field(default_factory=list[Event])
    _drafts: Drafts | None = None

    def __post_init__(self) -> None:
        self.block_manager = self.queues.block_manager
        self.budget = self.max_num_batched_tokens
        self.limit = f"{self.budget} (max_num_batched_tokens)"

    def fill(self) -> None:
        """Plans the first of the policy's groups out of which anything can run."""
        for group in self._ranked_groups():
            self._plan_group(group)
            if self.spans:
                return

    def plan(self, step_id: int) -> StepPlan:
        """The step, frozen, with what the queues had left to say."""
        left, sampling_updates = self.queues.news()
        return StepPlan(
            step_id,
            Spans(self.spans),
            tuple(self.joined),
            left,
            sampling_updates,
            tuple(self.block_updates),
            tuple(self.copies),
            tuple(self.events),
            self._why_head_waits(),
            tuple(self.masks),
        )

    # ------------------------------------------------------------------- the policy

    def _plan_group(self, group: Iterable[object]) -> None:
        running, waiting = self.queues.running, self.queues.waiting
        blocked: Blocked | None = None
        are_all_decoding = True
        for seq in group:
            if not isinstance(seq, Sequence):
                raise self._bad_order(seq)
            if are_all_decoding and not seq.is_decoding:
                are_all_decoding = False
                self._limit_prompts()
            if running.get(seq.seq_id) is seq:
                self.schedule_running(seq)
            elif blocked or seq.seq_id in self.preempted:
                continue  # first come, first served: nobody overtakes the one that waits
            elif waiting.get(seq.seq_id) is seq:
                if seq.prompt_id is not None and (wait := self._siblings().why_wait(seq)):
                    self.blocked = self.blocked or wait  # it needs nothing: others may go first
                else:
                    blocked = self.admit(seq)
        self.blocked = self.blocked or blocked

    def _limit_prompts(self) -> None:
        """Whoever decodes in this step waits for its prompts: no longer than a chunk takes.

        Behind a long queue, people wait for seconds, and meanwhile the device has few rows to
        decode: a step then takes its share of what waits, however small a chunk is.
        """
        size = self.prefill_chunk_size
        if not self.spans or size is None or not self.enable_chunked_prefill:
            return
        limit = f"{size} (prefill_chunk_size, for others decode)"
        share = self._tokens_behind_the_first(QUEUE_STEPS * self.budget) // QUEUE_STEPS
        if share > size:
            size, limit = share, f"{share} (one {QUEUE_STEPS}th of the queue, for others decode)"
        if size < self.budget:
            self.budget, self.limit = size, limit

    def _tokens_behind_the_first(self, enough: int) -> int:
        """Tokens of all that wait but the first, or `enough` if they are more."""
        total = 0
        for seq in islice(self.queues.waiting.values(), 1, None):
            total += len(seq.token_ids)
            if total >= enough:
                return enough
        return total

    def _ranked_groups(self) -> Iterator[Iterable[object]]:
        # Snapshots: planning moves sequences between the queues while the groups, which may be
        # lazy, are still being read.
        running = tuple(self.queues.running.values())
        waiting = tuple(self.queues.waiting.values())
        for group in self._iterable(self.policy.order(running, waiting)):
            yield self._iterable(group)

    def _iterable(self, value: object) -> Iterable[object]:
        if not isinstance(value, Iterable):
            raise self._bad_order(value)
        return cast(Iterable[object], value)

    def _bad_order(self, value: object) -> ConfigError:
        return ConfigError(
            f"{self.policy!r}.order() gave {value!r}; return a list of groups, each a list of the "
            "sequences it was given, such as [[*running, *waiting]]."
        )

    # ---------------------------------------------------------------- one that runs

    def schedule_running(self, seq: Sequence) -> None:
        """Plans the next tokens of a running sequence: all that are left, or what fits."""
        start, length = seq.num_computed_tokens, len(seq.token_ids) + seq.num_claimed
        num_tokens = length - start if length - start < self.budget else self.budget
        is_at_its_end = length >= seq.max_num_tokens
        if num_tokens == 0 or is_at_its_end or seq.seq_id in self.planned:
            return
        drafted: Seq[int] = ()
        if length - start == 1 and (self.draft_proposer is not None or seq.grammar is not None):
            if seq.num_claimed:
                self._wait_for_value(seq)
                return
            drafted = self._guesses(seq)
        end, num_blocks = start + num_tokens + len(drafted), len(seq.block_table)
        if end <= num_blocks * self.block_manager.block_size or self._make_room(seq, end):
            self.add_span(seq, end, num_blocks, drafted)

    def _make_room(self, seq: Sequence, end: int) -> bool:
        """Gets blocks for [0, end), from others if need be. False if `seq` itself had to go."""
        while self.block_manager.num_new_blocks(seq, end) > self.block_manager.num_free_blocks:
            running = self.queues.running.values()
            candidates = [s for s in running if s is not seq and s.seq_id not in self.planned]
            victim, reason = choose_victim(self.policy, seq, candidates)
            self.events += self.queues.requeue(victim, seq.seq_id, reason)
            self.preempted.append(victim.seq_id)
            if victim is seq:
                return False
        self.events += self.block_manager.allocate(seq, end)
        return True

    def _guesses(self, seq: Sequence) -> Seq[int]:
        """Guesses for the positions behind the newest token, as many as may be of use."""
        if self.draft_proposer is None:
            return ()
        end = len(seq.token_ids)
        limit = min(seq.max_num_tokens - end - 1, self.budget - 1)
        room = len(seq.block_table) * self.block_manager.block_size - end
        limit = min(
            limit, room + self.block_manager.num_free_blocks * self.block_manager.block_size
        )
        if limit <= 0:
            return ()
        if self._drafts is None:
            running = self.queues.running.values()
            self._drafts = Drafts(self.draft_proposer, self.vocab_size, running)
        try:
            guesses = self._drafts.of(seq, limit)
        except Exception as error:  # a learner's; the step goes on without it, and says so
            self.events.append(DraftFailed(seq.seq_id, f"{type(error).__name__}: {error}"))
            return ()
        # One that the grammar forbids cannot come true, nor can what is behind it.
        return guesses[: seq.grammar.num_allowed(guesses)] if seq.grammar else guesses

    def _wait_for_value(self, seq: Sequence) -> None:
        """Guesses follow from a value that only the device has: this one is not claimed ahead.

        So does a mask. One made without the newest token would be that of the position before. The
        device could not make up for it, since only the parser on the host knows what follows; and
        whoever has no grammar goes on meanwhile.
        """
        what = "guessed" if seq.grammar is None else "allowed"
        detail = f"its newest token is still in flight, and what is {what} follows from it"
        blocked = Blocked(seq.seq_id, "in_flight", 0, seq.num_claimed, detail)
        self.blocked = self.blocked or blocked

    def add_span(self, seq: Sequence, end: int, first_block: int, drafted: Seq[int] = ()) -> None:
        """Books tokens up to `end` of `seq` into the step and advances its counters.

        Args:
            seq: A running sequence whose blocks hold these tokens.
            end: One past the last token to compute, guesses included.
            first_block: Blocks from this logical index on are new to the device.
            drafted: The guesses.
        """
        start, length = seq.num_computed_tokens, len(seq.token_ids) + seq.num_claimed
        num_tokens, num_drafted = end - start, len(drafted)
        is_sampled = end == length + num_drafted
        given = (seq.token_ids[-1], *drafted) if drafted else ()
        row, table = seq.row, seq.block_table
        assert row is not None
        self.spans.append((seq.seq_id, row, start, num_tokens, given, num_drafted, is_sampled))
        self.planned[seq.seq_id] = start
        self.budget -= num_tokens
        if len(table) > first_block:
            self.block_updates.append(BlockUpdate(0, row, first_block, tuple(table[first_block:])))
        seq.num_computed_tokens = end
        if is_sampled:
            if seq.grammar is not None:
                assert not seq.num_claimed, "a mask of tokens that are not known"
                masks = seq.grammar.masks(drafted)
                self.masks.append(RowMasks(seq.seq_id, row, masks))
            seq.num_claimed += 1 + num_drafted
            seq.is_decoding = True
        if end % self.block_manager.block_size < num_tokens:  # one of them fills a block
            self.events += self.block_manager.publish(seq)

    # --------------------------------------------------------------- one that waits

    def admit(self, seq: Sequence) -> Blocked | None:
        """Starts a waiting sequence, or says what it lacks."""
        manager, length = self.block_manager, len(seq.token_ids) + seq.num_claimed
        match = manager.match_prefix(seq)
        if seq.prompt_id is not None:
            match = self._siblings().match(seq, match)
        start = match.num_tokens
        num_blocks = manager.num_blocks_for(length) - len(match.block_ids)
        num_free = manager.num_free_blocks - match.num_free
        if blocked := self.why_blocked(seq, length - start, num_blocks, num_free):
            return blocked
        joined = self.queues.start(seq, match)
        self.joined.append(joined)
        if seq.num_prefix_hit_tokens is None:
            seq.num_prefix_hit_tokens = start
        budget, num_tokens = self.budget, min(length - start, self.budget)
        admitted = Admitted(
            seq.seq_id, joined.row, length, start, num_tokens, num_blocks, num_free, budget
        )
        allocated = manager.allocate(seq, start + num_tokens)
        if match.from_seq_id is None:
            found = PrefixHit(seq.seq_id, match.block_ids, start, match.stopped_because)
        else:
            found, copies = self._siblings().take(seq, match)
            self.copies += copies
        self.events += (admitted, found, *allocated)
        self.add_span(seq, start + num_tokens, 0)
        # What it found may be computed in this very step, by another: too late for a copy of it.
        self.planned[seq.seq_id] = 0
        return None

    def _siblings(self) -> Siblings:
        """What a sequence has in common with the other answers to its prompt, if there are any."""
        return Siblings(self.queues.running, self.planned, self.block_manager.block_size)

    def why_blocked(
        self, seq: Sequence, num_tokens: int, num_blocks: int, num_free: int
    ) -> Blocked | None:
        """Why a waiting sequence cannot start now, with the numbers; None if it can.

        Args:
            seq: The sequence.
            num_tokens: It must compute, beside what the cache holds of it.
            num_blocks: New blocks that it needs, for all its tokens.
            num_free: Free blocks that are left once it has taken those of the match.
        """
        if seq.num_claimed:
            detail = "its newest token is still in flight and must arrive before it is recomputed"
            return Blocked(seq.seq_id, "in_flight", 0, seq.num_claimed, detail)
        if self.preempted:
            detail = f"this step had to preempt {self.preempted} for lack of blocks: none starts"
            return Blocked(seq.seq_id, "blocks", num_blocks, num_free, detail)
        if not self.queues.free_rows:
            detail = f"all {self.queues.max_num_seqs} rows (max_num_seqs) are taken"
            return Blocked(seq.seq_id, "rows", 1, 0, detail)
        min_tokens = 1 if self.enable_chunked_prefill else num_tokens
        if self.budget < min_tokens:
            detail = (
                f"it needs a budget of at least {counted(min_tokens, 'token')}, and {self.budget} "
                f"of {self.limit} are left in this step"
            )
            return Blocked(seq.seq_id, "budget", min_tokens, self.budget, detail)
        if num_blocks > num_free:
            detail = (
                f"it needs {counted(num_blocks, 'new block')} of "
                f"{counted(self.block_manager.block_size, 'token')}, and "
                f"{num_free} of {self.block_manager.num_blocks} are free"
            )
            return Blocked(seq.seq_id, "blocks", num_blocks, num_free, detail)
        return None

    def _why_head_waits(self) -> Blocked | None:
        """Why the first one still waiting waits, also when this step never came to ask it."""
        queues = self.queues
        if not queues.waiting:
            return self.blocked
        head = next(iter(queues.waiting.values()))
        if self.blocked and self.blocked.seq_id == head.seq_id:
            return self.blocked
        if head.seq_id in self.preempted:
            num_needed = queues.block_manager.num_blocks_for(head.num_tokens)
            detail = "it was preempted in this step for lack of blocks"
            num_free = queues.block_manager.num_free_blocks
            return Blocked(head.seq_id, "blocks", num_needed, num_free, detail)
        if self.blocked:
            return self.blocked  # the policy asked in another order; this one it asked first
        detail = f"{type(self.policy).__name__} gives this step to others"
        return Blocked(head.seq_id, "phase", 1, 0, detail)
