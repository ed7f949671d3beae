"""Preemption: who gives way when a running sequence needs a block and none is free.

The one that gives way loses its slot, its blocks and all that was computed for it, and keeps its
tokens: it goes back to the head of the line and is recomputed later, as a prompt. That is dearer
than waiting and cheaper than failing.

Source: recomputation as in vLLM (Kwon et al., 2023, section 4.5).
Read next: `core/schedule/admission.py`.
"""

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.step_builder import Draft
from nanovllm_edu.errors import ConfigError


def make_room(seq: Sequence, end: int, draft: Draft) -> bool:
    """Gets blocks for [0, end), from others if need be. False if `seq` itself had to go."""
    while draft.block_manager.num_new_blocks(seq, end) > draft.block_manager.num_free_blocks:
        victim = choose_victim(seq, draft)
        preempt(victim, seq, draft)
        if victim is seq:
            return False
    draft.events += draft.block_manager.allocate(seq, end)
    return True


def choose_victim(seq: Sequence, draft: Draft) -> Sequence:
    """Asks the policy among running sequences that are not in this step's plan yet.

    The one in need is a candidate only when it is the last: so the first in the policy's
    order always advances, and no policy can make the engine run in circles.
    """
    candidates = [
        other
        for other in draft.queues.running.values()
        if other is not seq and other.seq_id not in draft.planned
    ]
    if not candidates:
        return seq
    victim = draft.policy.victim(candidates)
    if victim not in candidates:
        raise ConfigError(
            f"{draft.policy!r}.victim returned {victim!r}, which is not one of the "
            f"{len(candidates)} candidates it was given; return one of them."
        )
    return victim


def preempt(victim: Sequence, for_seq: Sequence, draft: Draft) -> None:
    """Sends a running sequence back to the head of the line; its tokens are kept."""
    reason = f"seq {for_seq.seq_id} needs a block and none is free"
    if victim is for_seq:
        reason = "it needs a block, none is free, and all the others are in this step already"
    else:
        reason += f"; {type(draft.policy).__name__} chose this one"
    draft.events += draft.queues.send_back(victim, for_seq.seq_id, reason)
    draft.preempted.append(victim.seq_id)
