"""`Scheduler`: decides, for one step, which tokens of which sequences go through the model.

One general rule, and no phases: each sequence has tokens that must still be computed; a step gives
each one as many as the token budget and the free blocks allow. A prompt that does not fit is cut
into chunks; a sequence with a single token left is what others call decode.

    plan()    counts advance as if the step were already done; only token *values* are unknown
    commit()  the values arrive: append, finish, free

Because lengths never depend on values, `plan` may be called again before `commit`: that is how the
engine overlaps planning with the device. A sequence that turns out to have ended has then been
scheduled once too often, and `commit` drops the extra token.

It knows nothing of tensors, text or time. Read next: `engine.py`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import cast

from nanovllm_edu.core.block_manager import BlockManager, PrefixMatch
from nanovllm_edu.core.events import Admitted, Event, Finished, Preempted, PrefixHit
from nanovllm_edu.core.policy import MixedPolicy, SchedulingPolicy
from nanovllm_edu.core.records import Blocked, Chunk, StepPlan, StepResult
from nanovllm_edu.core.sequence import Sequence, SequenceStatus
from nanovllm_edu.errors import ConfigError, UnknownRequestError

FindStop = Callable[[Sequence, int], str | None]
"""Looks at a sequence and its next token, and returns the stop string that completes, if any."""


@dataclass(slots=True)
class _Draft:
    """A plan while it is being made."""

    budget: int
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    planned: set[int] = field(default_factory=set[int])
    preempted: list[int] = field(default_factory=list[int])
    blocked: Blocked | None = None
    events: list[Event] = field(default_factory=list[Event])


class Scheduler:
    """The two queues, the free slots, and the verbs `plan`, `commit` and `rollback`.

    Attributes:
        waiting: Sequences without blocks, first to be admitted first.
        running: Sequences that own blocks and a slot, in order of admission.
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
        self.block_manager = block_manager
        self.policy: SchedulingPolicy = policy or MixedPolicy()
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_model_len = max_model_len
        self.enable_chunked_prefill = enable_chunked_prefill
        self.eos_token_ids = eos_token_ids
        self.waiting: OrderedDict[int, Sequence] = OrderedDict()
        self.running: OrderedDict[int, Sequence] = OrderedDict()
        self._free_slots = list(range(max_num_seqs - 1, -1, -1))
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
        twin.block_manager = deepcopy(self.block_manager)
        # One deepcopy of both: a policy that remembers sequences must remember the copies.
        queues = self.waiting, self.running
        (twin.waiting, twin.running), own_policy = deepcopy((queues, self.policy))
        twin._free_slots = list(self._free_slots)
        twin.policy = policy or own_policy
        twin.max_num_batched_tokens = max_num_batched_tokens
        twin.enable_chunked_prefill = enable_chunked_prefill
        return twin

    # ------------------------------------------------------------------ requests

    def add(self, seq: Sequence) -> None:
        """Puts a new sequence at the end of the waiting queue."""
        seq.max_num_tokens = min(seq.max_num_tokens, self.max_model_len)
        if not seq.params.ignore_eos:
            seq.ending_token_ids |= self.eos_token_ids
        self.waiting[seq.seq_id] = seq

    def abort(self, seq_id: int) -> list[Event]:
        """Ends a sequence now. A token of it that is still in flight will be dropped.

        Raises:
            UnknownRequestError: It was never added or has finished.
        """
        return self._finish(self.sequence(seq_id), "abort", "it was aborted")

    def sequence(self, seq_id: int) -> Sequence:
        """The unfinished sequence with this id.

        Raises:
            UnknownRequestError: There is none.
        """
        seq = self._find(seq_id)
        if seq is None:
            raise UnknownRequestError(
                f"seq_id={seq_id!r} is not unfinished here; waiting: {list(self.waiting)}, "
                f"running: {list(self.running)}."
            )
        return seq

    # ---------------------------------------------------------------------- plan

    def plan(self) -> StepPlan:
        """Decides the next step. An empty plan means that nothing can run now."""
        draft = _Draft(self.max_num_batched_tokens)
        try:
            for group in self._ranked_groups():
                self._plan_group(group, draft)
                if draft.chunks:
                    break
            return self._finish_plan(draft)
        except BaseException:
            self._take_back(draft.chunks, "the plan was given up half-way")
            raise

    def _ranked_groups(self) -> Iterator[Iterable[object]]:
        """The policy's groups. A learner may have written it, so nothing of it is trusted."""
        # Snapshots: planning moves sequences between the queues while the groups, which may be
        # lazy, are still being read.
        running, waiting = tuple(self.running.values()), tuple(self.waiting.values())
        groups: object = self.policy.order(running, waiting)
        for group in self._iterable(groups):
            yield self._iterable(group)

    def _plan_group(self, group: Iterable[object], draft: _Draft) -> None:
        blocked: Blocked | None = None
        for seq in group:
            if not isinstance(seq, Sequence):
                raise self._bad_order(seq)
            if self.running.get(seq.seq_id) is seq:
                self._continue(seq, draft)
            elif blocked or seq.seq_id in draft.preempted:
                continue  # first come, first served: nobody overtakes the one that waits
            elif self.waiting.get(seq.seq_id) is seq:
                blocked = self._admit(seq, draft)
        draft.blocked = draft.blocked or blocked

    def _iterable(self, value: object) -> Iterable[object]:
        if not isinstance(value, Iterable):
            raise self._bad_order(value)
        return cast(Iterable[object], value)

    def _bad_order(self, value: object) -> ConfigError:
        return ConfigError(
            f"{self.policy!r}.order() gave {value!r}; return a list of groups, each a list of the "
            "sequences it was given, such as [[*running, *waiting]]."
        )

    def _continue(self, seq: Sequence, draft: _Draft) -> None:
        """Plans the next tokens of a running sequence, preempting others if blocks are short."""
        start, length = seq.num_computed_tokens, len(seq.token_ids) + seq.num_in_flight
        num_tokens = length - start if length - start < draft.budget else draft.budget
        is_at_its_end = length >= seq.max_num_tokens
        if num_tokens == 0 or is_at_its_end or seq.seq_id in draft.planned:
            return
        end, num_blocks = start + num_tokens, len(seq.block_table)
        if end <= num_blocks * self.block_manager.block_size or self._extend(seq, end, draft):
            self._add_chunk(seq, num_tokens, num_blocks, draft)

    def _extend(self, seq: Sequence, end: int, draft: _Draft) -> bool:
        """Gets blocks for [0, end), from others if need be. False if `seq` itself had to go."""
        while self.block_manager.num_new_blocks(seq, end) > self.block_manager.num_free_blocks:
            victim = self._choose_victim(seq, draft)
            self._preempt(victim, seq, draft)
            if victim is seq:
                return False
        draft.events += self.block_manager.allocate(seq, end)
        return True

    def _admit(self, seq: Sequence, draft: _Draft) -> Blocked | None:
        """Starts a waiting sequence, or says what it lacks."""
        match = self.block_manager.match_prefix(seq)
        num_remaining = seq.num_tokens - match.num_tokens
        num_needed = self.block_manager.num_blocks_for(seq.num_tokens) - len(match.block_ids)
        num_free = self.block_manager.num_free_blocks - match.num_free
        blocked = self._why_blocked(seq, num_remaining, num_needed, num_free, draft)
        if blocked:
            return blocked
        slot = self._free_slots.pop()
        num_tokens = min(num_remaining, draft.budget)
        draft.events.append(
            Admitted(
                seq.seq_id,
                slot=slot,
                num_tokens=seq.num_tokens,
                num_cached_tokens=match.num_tokens,
                num_chunk_tokens=num_tokens,
                num_needed_blocks=num_needed,
                num_free_blocks=num_free,
                budget_left=draft.budget,
            )
        )
        self._start(seq, slot, match, draft)
        draft.events += self.block_manager.allocate(seq, match.num_tokens + num_tokens)
        self._add_chunk(seq, num_tokens, 0, draft)
        return None

    def _start(self, seq: Sequence, slot: int, match: PrefixMatch, draft: _Draft) -> None:
        """Moves a sequence from waiting to running, with its matched blocks and a slot."""
        self.block_manager.share(seq, match)
        if seq.num_prefix_hit_tokens is None:
            seq.num_prefix_hit_tokens = match.num_tokens
        draft.events.append(
            PrefixHit(
                seq.seq_id,
                block_ids=match.block_ids,
                num_tokens=match.num_tokens,
                stopped_at=len(match.block_ids),
                stopped_because=match.stopped_because,
            )
        )
        del self.waiting[seq.seq_id]
        seq.slot, seq.status = slot, SequenceStatus.RUNNING
        self.running[seq.seq_id] = seq

    def _why_blocked(
        self, seq: Sequence, num_remaining: int, num_needed: int, num_free: int, draft: _Draft
    ) -> Blocked | None:
        """Why `seq` cannot be admitted now, with the numbers; None if it can."""
        if seq.num_in_flight:
            detail = "its newest token is still in flight and must arrive before it is recomputed"
            return Blocked(seq.seq_id, "in_flight", 0, seq.num_in_flight, detail)
        if draft.preempted:
            detail = f"this step had to preempt {draft.preempted} for lack of blocks: none starts"
            return Blocked(seq.seq_id, "blocks", num_needed, num_free, detail)
        if not self._free_slots:
            detail = f"all {self.max_num_seqs} slots (max_num_seqs) are taken"
            return Blocked(seq.seq_id, "slots", 1, 0, detail)
        min_tokens = 1 if self.enable_chunked_prefill else num_remaining
        if draft.budget < min_tokens:
            detail = (
                f"it needs a budget of at least {min_tokens} token(s), and {draft.budget} of "
                f"{self.max_num_batched_tokens} (max_num_batched_tokens) are left in this step"
            )
            return Blocked(seq.seq_id, "budget", min_tokens, draft.budget, detail)
        if num_needed > num_free:
            detail = (
                f"it needs {num_needed} new block(s) of {self.block_manager.block_size} tokens, "
                f"and {num_free} of {self.block_manager.num_blocks} are free"
            )
            return Blocked(seq.seq_id, "blocks", num_needed, num_free, detail)
        return None

    def _add_chunk(self, seq: Sequence, num_tokens: int, first_block: int, draft: _Draft) -> None:
        """Books [start, start + num_tokens) of `seq` into the step and advances its counters."""
        start, token_ids = seq.num_computed_tokens, seq.token_ids
        end = start + num_tokens
        samples = end == len(token_ids) + seq.num_in_flight
        assert seq.slot is not None
        is_new_here = first_block == 0 and start > 0 and seq.params.needs_history
        chunk = Chunk(
            seq.seq_id,
            seq.slot,
            start,
            num_tokens,
            () if seq.is_decoding else tuple(token_ids[start:end]),
            first_block,
            tuple(seq.block_table[first_block:]),
            samples,
            seq.params,
            seq.seed,
            seq.num_prompt_tokens,
            tuple(token_ids[:start]) if is_new_here else (),
        )
        draft.chunks.append(chunk)
        draft.planned.add(seq.seq_id)
        draft.budget -= num_tokens
        seq.num_computed_tokens = end
        if samples:
            seq.num_in_flight += 1
            seq.is_decoding = True
        if num_tokens > 1 or end % self.block_manager.block_size == 0:
            draft.events += self.block_manager.cache_full_blocks(seq)

    def _choose_victim(self, seq: Sequence, draft: _Draft) -> Sequence:
        """Asks the policy among running sequences that are not in this step's plan yet.

        The one in need is a candidate only when it is the last: so the first in the policy's
        order always advances, and no policy can make the engine run in circles.
        """
        candidates = [
            other
            for other in self.running.values()
            if other is not seq and other.seq_id not in draft.planned
        ]
        if not candidates:
            return seq
        victim = self.policy.victim(candidates)
        if victim not in candidates:
            raise ConfigError(
                f"{self.policy!r}.victim returned {victim!r}, which is not one of the "
                f"{len(candidates)} candidates it was given; return one of them."
            )
        return victim

    def _preempt(self, victim: Sequence, for_seq: Sequence, draft: _Draft) -> None:
        """Sends a running sequence back to the head of the queue; its tokens are kept."""
        reason = f"seq {for_seq.seq_id} needs a block and none is free"
        if victim is for_seq:
            reason = "it needs a block, none is free, and all the others are in this step already"
        else:
            reason += f"; {type(self.policy).__name__} chose this one"
        draft.events += self._send_back(victim, for_seq.seq_id, reason)
        draft.preempted.append(victim.seq_id)

    def _finish_plan(self, draft: _Draft) -> StepPlan:
        step_id, self._num_plans = self._num_plans, self._num_plans + 1
        return StepPlan(
            step_id,
            tuple(draft.chunks),
            tuple(draft.preempted),
            self._why_head_waits(draft),
            tuple(draft.events),
        )

    def _why_head_waits(self, draft: _Draft) -> Blocked | None:
        """Why the first one still waiting waits, also when this step never came to ask it."""
        if not self.waiting:
            return None
        head = next(iter(self.waiting.values()))
        if draft.blocked and draft.blocked.seq_id == head.seq_id:
            return draft.blocked
        if head.seq_id in draft.preempted:
            num_needed = self.block_manager.num_blocks_for(head.num_tokens)
            detail = "it was preempted in this step for lack of blocks"
            num_free = self.block_manager.num_free_blocks
            return Blocked(head.seq_id, "blocks", num_needed, num_free, detail)
        if draft.blocked:
            return draft.blocked  # the policy asked in another order; this one it asked first
        detail = f"{type(self.policy).__name__} gives this step to others"
        return Blocked(head.seq_id, "phase", 1, 0, detail)

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
        caused: dict[int, tuple[Event, ...]] = {}
        block_size = self.block_manager.block_size
        for seq, token_id, ending in due:
            position = len(seq.token_ids)
            new_tokens[seq.seq_id] = token_id
            positions.append(position)
            seq.token_ids.append(token_id)
            seq.num_in_flight -= 1
            if ending or (position + 1) % block_size == 0:
                events = self.block_manager.cache_full_blocks(seq)
                if ending:
                    finished[seq.seq_id] = ending[0]
                    events += self._finish(seq, *ending)
                caused[seq.seq_id] = tuple(events)
        return StepResult(plan.step_id, new_tokens, tuple(positions), finished, caused)

    def _due(
        self, plan: StepPlan, tokens: Mapping[int, int], find_stop: FindStop | None
    ) -> list[tuple[Sequence, int, tuple[str, str] | None]]:
        """Each sequence that gets a token, the token, and how it ends if it does."""
        due: list[tuple[Sequence, int, tuple[str, str] | None]] = []
        for chunk in plan.chunks:
            seq = self._find(chunk.seq_id) if chunk.samples else None
            if seq is None:
                continue  # no token is due, or it has ended meanwhile
            token_id = tokens[chunk.seq_id]
            may_end = (
                len(seq.token_ids) + 1 >= seq.max_num_tokens
                or token_id in seq.ending_token_ids
                or seq.params.stop
            )
            due.append((seq, token_id, self._ending(seq, token_id, find_stop) if may_end else None))
        return due

    def rollback(self, plans: Seq[StepPlan]) -> list[Event]:
        """Undoes launched plans whose device work failed, oldest plan first in `plans`.

        Their sequences keep every known token and go back to the head of the queue. What is in the
        cache can no longer be trusted, so nothing of it stays findable.
        """
        chunks = [chunk for plan in plans for chunk in plan.chunks]
        return self._take_back(chunks, "the device failed in the middle of its step")

    def _take_back(self, chunks: Seq[Chunk], reason: str) -> list[Event]:
        events: list[Event] = []
        for chunk in chunks:
            seq = self._find(chunk.seq_id)
            if seq and chunk.samples:
                seq.num_in_flight -= 1
        for seq_id in sorted({chunk.seq_id for chunk in chunks}, reverse=True):
            if seq_id in self.running:
                events += self._send_back(self.running[seq_id], None, reason)
        if chunks:
            self.block_manager.reset_prefix_cache()
        return events

    # ------------------------------------------------------------------- endings

    def _ending(
        self, seq: Sequence, token_id: int, find_stop: FindStop | None
    ) -> tuple[str, str] | None:
        """(finish reason, detail) if this next token ends the sequence."""
        params, num_tokens = seq.params, len(seq.token_ids) + 1
        if token_id in self.eos_token_ids and not params.ignore_eos:
            return "stop", f"token {token_id} means end of sequence"
        if token_id in params.stop_token_ids:
            return "stop", f"token {token_id} is one of its stop_token_ids"
        if params.stop and find_stop and (text := find_stop(seq, token_id)) is not None:
            return "stop", f"its text contains the stop string {text!r}"
        if num_tokens - seq.num_prompt_tokens >= params.max_tokens:
            return "length", f"max_tokens={params.max_tokens} reached"
        if num_tokens >= self.max_model_len:
            return "length", f"max_model_len={self.max_model_len} reached"
        return None

    def _finish(self, seq: Sequence, reason: str, detail: str) -> list[Event]:
        ending = Finished(seq.seq_id, reason, len(seq.token_ids), detail)
        seq.finish_reason, seq.status = reason, SequenceStatus.FINISHED
        self.waiting.pop(seq.seq_id, None)
        return [ending, *self._release(seq)]

    def _send_back(self, seq: Sequence, for_seq_id: int | None, reason: str) -> list[Event]:
        lost = Preempted(
            seq.seq_id, for_seq_id, seq.num_computed_tokens, len(seq.block_table), reason
        )
        freed = self._release(seq)
        seq.status = SequenceStatus.WAITING
        seq.num_preemptions += 1
        self.waiting[seq.seq_id] = seq
        self.waiting.move_to_end(seq.seq_id, last=False)
        return [lost, *freed]

    def _release(self, seq: Sequence) -> list[Event]:
        """Takes slot and blocks from a sequence, if it has any."""
        if self.running.pop(seq.seq_id, None) is None:
            return []
        assert seq.slot is not None
        self._free_slots.append(seq.slot)
        seq.slot, seq.is_decoding = None, False
        seq.forget_table()
        return self.block_manager.free(seq)

    def _find(self, seq_id: int) -> Sequence | None:
        return self.running.get(seq_id) or self.waiting.get(seq_id)

    def check_invariants(self) -> None:
        """Fails an assertion if queues, slots and blocks contradict each other."""
        running = list(self.running.values())
        slots = [seq.slot for seq in running if seq.slot is not None]
        assert sorted(self._free_slots + slots) == list(range(self.max_num_seqs)), "slot leak"
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
