"""`fill`: puts into a step as much as fits, by one rule and without phases.

Each sequence has tokens that must still be computed, and the step gives each one, in the policy's
order, as many as are left of its budget and of the free blocks. A prompt that does not fit is cut
into chunks; a sequence with a single token left is what others call decode.

    running   goes on, and others give way if blocks are short    core/schedule/preemption.py
    waiting   starts, or says what it lacks                        core/schedule/admission.py

A policy may be a learner's first attempt, so nothing it returns is taken on trust.

Read next: `core/schedule/preemption.py`.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from nanovllm_edu.core.plan import Blocked
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.admission import admit
from nanovllm_edu.core.schedule.policy import SchedulingPolicy
from nanovllm_edu.core.schedule.preemption import make_room
from nanovllm_edu.core.schedule.step_builder import Draft
from nanovllm_edu.errors import ConfigError


def fill(draft: Draft) -> None:
    """Plans the first of the policy's groups out of which anything can run."""
    for group in _ranked_groups(draft):
        _plan_group(group, draft)
        if draft.chunks:
            return


def go_on(seq: Sequence, draft: Draft) -> None:
    """Plans the next tokens of a running sequence: all that are left, or what the budget allows."""
    start, length = seq.num_computed_tokens, len(seq.token_ids) + seq.num_in_flight
    num_tokens = length - start if length - start < draft.budget else draft.budget
    is_at_its_end = length >= seq.max_num_tokens
    if num_tokens == 0 or is_at_its_end or seq.seq_id in draft.planned:
        return
    end, num_blocks = start + num_tokens, len(seq.block_table)
    if end <= num_blocks * draft.block_manager.block_size or make_room(seq, end, draft):
        draft.add_chunk(seq, num_tokens, num_blocks)


def _plan_group(group: Iterable[object], draft: Draft) -> None:
    running, waiting = draft.queues.running, draft.queues.waiting
    blocked: Blocked | None = None
    for seq in group:
        if not isinstance(seq, Sequence):
            raise _bad_order(draft.policy, seq)
        if running.get(seq.seq_id) is seq:
            go_on(seq, draft)
        elif blocked or seq.seq_id in draft.preempted:
            continue  # first come, first served: nobody overtakes the one that waits
        elif waiting.get(seq.seq_id) is seq:
            blocked = admit(seq, draft)
    draft.blocked = draft.blocked or blocked


def _ranked_groups(draft: Draft) -> Iterator[Iterable[object]]:
    # Snapshots: planning moves sequences between the queues while the groups, which may be lazy,
    # are still being read.
    running, waiting = tuple(draft.queues.running.values()), tuple(draft.queues.waiting.values())
    for group in _iterable(draft.policy, draft.policy.order(running, waiting)):
        yield _iterable(draft.policy, group)


def _iterable(policy: SchedulingPolicy, value: object) -> Iterable[object]:
    if not isinstance(value, Iterable):
        raise _bad_order(policy, value)
    return cast(Iterable[object], value)


def _bad_order(policy: SchedulingPolicy, value: object) -> ConfigError:
    return ConfigError(
        f"{policy!r}.order() gave {value!r}; return a list of groups, each a list of the "
        "sequences it was given, such as [[*running, *waiting]]."
    )
