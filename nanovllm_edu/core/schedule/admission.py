"""Admission: a waiting sequence starts, or there is a reason with numbers why it cannot.

It may start if the step has a slot, some budget, and blocks for *all* its tokens, however few of
them are computed at first: one that starts should not have to give way at once. What the cache
already holds of it costs neither budget nor blocks. What could never start is refused on arrival.

Read next: `core/request/ending.py`.
"""

from typing import NamedTuple, Self

from nanovllm_edu.core.events import Admitted, PrefixHit
from nanovllm_edu.core.memory.block_manager import BlockManager, PrefixMatch
from nanovllm_edu.core.plan import Blocked
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.step_builder import Draft
from nanovllm_edu.errors import PromptTooLongError


class Need(NamedTuple):
    """What a sequence needs to start, beside what the cache holds of it."""

    match: PrefixMatch
    num_tokens: int
    """Tokens to compute until it has its next one."""
    num_blocks: int
    """New blocks, for all its tokens."""
    num_free_blocks: int
    """Free blocks that are left once it has taken those of the match."""

    @classmethod
    def of(cls, seq: Sequence, block_manager: BlockManager) -> Self:
        """What `seq` needs now."""
        match = block_manager.match_prefix(seq)
        num_tokens = seq.num_tokens
        return cls(
            match,
            num_tokens - match.num_tokens,
            block_manager.num_blocks_for(num_tokens) - len(match.block_ids),
            block_manager.num_free_blocks - match.num_free,
        )


def check_length(seq: Sequence, max_model_len: int, block_manager: BlockManager) -> None:
    """Refuses a new sequence that could never run.

    Raises:
        PromptTooLongError: No room is left for a generated token.
    """
    if len(seq.token_ids) >= max_model_len:
        raise PromptTooLongError(
            f"the prompt has {len(seq.token_ids)} tokens, and max_model_len={max_model_len} leaves "
            "no room for a generated one; shorten it, or raise max_model_len or num_blocks "
            f"({block_manager.num_blocks} blocks of {block_manager.block_size})."
        )


def admit(seq: Sequence, draft: Draft) -> Blocked | None:
    """Starts a waiting sequence, or says what it lacks."""
    need = Need.of(seq, draft.block_manager)
    blocked = why_blocked(seq, need, draft)
    if blocked:
        return blocked
    match, num_tokens = need.match, min(need.num_tokens, draft.budget)
    slot = draft.queues.start(seq, match)
    if seq.num_prefix_hit_tokens is None:
        seq.num_prefix_hit_tokens = match.num_tokens
    draft.events += (
        (
            Admitted,
            seq.seq_id,
            slot,
            seq.num_tokens,
            match.num_tokens,
            num_tokens,
            need.num_blocks,
            need.num_free_blocks,
            draft.budget,
        ),
        (
            PrefixHit,
            seq.seq_id,
            match.block_ids,
            match.num_tokens,
            len(match.block_ids),
            match.stopped_because,
        ),
    )
    draft.events += draft.block_manager.allocate(seq, match.num_tokens + num_tokens)
    draft.add_chunk(seq, num_tokens, 0)
    return None


def why_blocked(seq: Sequence, need: Need, draft: Draft) -> Blocked | None:
    """Why `seq` cannot be admitted now, with the numbers; None if it can."""
    queues, block_manager = draft.queues, draft.block_manager
    if seq.num_in_flight:
        detail = "its newest token is still in flight and must arrive before it is recomputed"
        return Blocked(seq.seq_id, "in_flight", 0, seq.num_in_flight, detail)
    if draft.preempted:
        detail = f"this step had to preempt {draft.preempted} for lack of blocks: none starts"
        return Blocked(seq.seq_id, "blocks", need.num_blocks, need.num_free_blocks, detail)
    if not queues.free_slots:
        detail = f"all {queues.max_num_seqs} slots (max_num_seqs) are taken"
        return Blocked(seq.seq_id, "slots", 1, 0, detail)
    min_tokens = 1 if draft.enable_chunked_prefill else need.num_tokens
    if draft.budget < min_tokens:
        detail = (
            f"it needs a budget of at least {min_tokens} token(s), and {draft.budget} of "
            f"{draft.max_num_batched_tokens} (max_num_batched_tokens) are left in this step"
        )
        return Blocked(seq.seq_id, "budget", min_tokens, draft.budget, detail)
    if need.num_blocks > need.num_free_blocks:
        detail = (
            f"it needs {need.num_blocks} new block(s) of {block_manager.block_size} tokens, "
            f"and {need.num_free_blocks} of {block_manager.num_blocks} are free"
        )
        return Blocked(seq.seq_id, "blocks", need.num_blocks, need.num_free_blocks, detail)
    return None


def why_head_waits(draft: Draft) -> Blocked | None:
    """Why the first one still waiting waits, also when this step never came to ask it."""
    queues = draft.queues
    if not queues.waiting:
        return None
    head = next(iter(queues.waiting.values()))
    if draft.blocked and draft.blocked.seq_id == head.seq_id:
        return draft.blocked
    if head.seq_id in draft.preempted:
        num_needed = queues.block_manager.num_blocks_for(head.num_tokens)
        detail = "it was preempted in this step for lack of blocks"
        num_free = queues.block_manager.num_free_blocks
        return Blocked(head.seq_id, "blocks", num_needed, num_free, detail)
    if draft.blocked:
        return draft.blocked  # the policy asked in another order; this one it asked first
    detail = f"{type(draft.policy).__name__} gives this step to others"
    return Blocked(head.seq_id, "phase", 1, 0, detail)
