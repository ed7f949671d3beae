"""Preemption: who gives way when a running sequence needs a block and none is free.

The one that gives way loses its row, its blocks and all that was computed for it, and keeps its
tokens: it goes back to the head of the line and is recomputed later, as a prompt. That costs more
than waiting and less than failing.

Source: recomputation as in vLLM (Kwon et al., 2023, section 4.5).
Read next: `core/schedule/step_builder.py`, which asks.
"""

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import SchedulingPolicy
from nanovllm_edu.errors import ConfigError


def choose_victim(
    policy: SchedulingPolicy, seq: Sequence, candidates: list[Sequence]
) -> tuple[Sequence, str]:
    """Who gives way to `seq`, and why.

    The one in need is a candidate only when it is the last: so the first in the policy's order
    always advances, and no policy can make the engine run in circles.

    Args:
        policy: Is asked.
        seq: Needs a block.
        candidates: Other running sequences that are not in this step yet.

    Raises:
        ConfigError: The policy named somebody else.
    """
    if not candidates:
        return seq, "it needs a block, none is free, and all the others are in this step already"
    victim = policy.victim(candidates)
    if victim not in candidates:
        raise ConfigError(
            f"{policy!r}.victim returned {victim!r}, which is not one of the "
            f"{len(candidates)} candidates it was given; return one of them."
        )
    chosen = f"{type(policy).__name__} chose this one"
    return victim, f"seq {seq.seq_id} needs a block and none is free; {chosen}"
