"""Exercises of lesson 12: three scheduling policies, each scored in the arena."""

from array import array
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TOKEN_TYPE, Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy, SchedulingPolicy
from nanovllm_edu.lessons.arena import Workload, documents, flood, memory, score
from nanovllm_edu.lessons.checks import items, require, require_written
from nanovllm_edu.lessons.clock import Served
from nanovllm_edu.lessons.exercise import Exercise

MakePolicy = Callable[[], Any]
DOCUMENT = 3
"""The long prompt of the flood."""


def made_policy(policy_class: MakePolicy) -> SchedulingPolicy:
    """An object of the learner's class that has both methods.

    Raises:
        Wrong: It is no class, or lacks one of them.
    """
    require(
        isinstance(policy_class, type),
        f"Give the class itself, not an object of it: {policy_class!r}.",
    )
    policy = policy_class()
    for method in ("order", "victim"):
        require(
            callable(getattr(policy, method, None)),
            f"The class has no method {method}(). A policy needs order() and victim().",
        )
    return policy


def _sequence(seq_id: int, length: int, *, is_decoding: bool = False) -> Sequence:
    seq = Sequence(seq_id, array(TOKEN_TYPE, [7] * length), length, SamplingParams())
    seq.is_decoding = is_decoding
    seq.num_computed_tokens = length if is_decoding else 0
    return seq


def _flat(groups: Any) -> list[Sequence]:
    """The sequences of an order, best first."""
    filled: list[list[Sequence]] = []
    for group in items(groups, "What order() returns"):
        require(
            not isinstance(group, Sequence),
            "order() returned a list of sequences. Return a list of *groups*: [[seq, seq, ...]].",
        )
        filled.append(items(group, "A group of order()"))
    filled = [group for group in filled if group]
    require(
        len(filled) <= 1,
        f"order() returned {len(filled)} groups. A step takes one group only: as long as somebody "
        "in the first one can run, all the others stand still. Put everybody into one.",
    )
    return [seq for group in filled for seq in group]


def _probe(
    policy: SchedulingPolicy, lengths: Iterable[int], prefilling: int | None = None
) -> list[int]:
    """What sequences still need, in the order in which the policy serves them, two others decoding.

    Args:
        policy: The learner's.
        lengths: Prompts that wait.
        prefilling: What a running sequence has left of its prompt, if there is one.
    """
    running = (_sequence(0, 200, is_decoding=True), _sequence(1, 90, is_decoding=True))
    lengths = tuple(lengths)
    waiting = tuple(_sequence(2 + i, length) for i, length in enumerate(lengths))
    if prefilling is not None:
        lengths = (*lengths, prefilling)
        begun = _sequence(len(lengths) + 1, prefilling + 30)
        begun.num_computed_tokens = 30
        running = (*running, begun)
    ranked = [seq.seq_id for seq in _flat(policy.order(running, waiting))]
    for seq in (*running, *waiting):
        where = "running" if seq in running else "waiting"
        require(
            seq.seq_id in ranked,
            f"Sequence {seq.seq_id} is {where}, and your order leaves it out: it would never run.",
        )
    require(
        max(ranked.index(0), ranked.index(1))
        < min(ranked.index(2 + i) for i in range(len(lengths))),
        f"Your order is {ranked}; 0 and 1 are decoding. One token each is all they need: put them "
        "first, or everybody's next token waits for a prompt.",
    )
    return [lengths[seq_id - 2] for seq_id in ranked if seq_id >= 2]


def _serve(policy: SchedulingPolicy, workload: Workload) -> Served:
    served = workload.run(policy)
    workload.require_right_tokens(served)
    return served


# -------------------------------------------------------------------- 12.1 shortest first


def _check_shortest_first(policy_class: MakePolicy, random: Random) -> str:
    policy = made_policy(policy_class)
    fresh = [random.sample(range(1, 200), 6) for _ in range(8)]
    for lengths in ([50, 5, 120, 20], *fresh):
        admitted = _probe(policy, lengths)
        require(
            admitted == sorted(lengths),
            f"Prompts of {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} tokens wait; you "
            f"admit them in the order {admitted}.",
        )
    for lengths in ([50, 5, 120], *(random.sample(range(1, 200), 4) for _ in range(4))):
        *waiting, left = lengths
        served = _probe(policy, waiting, left)
        require(
            served == sorted(lengths),
            f"Prompts of {waiting} tokens wait, and a running sequence has {left} tokens of its "
            f"prompt left; you serve them in the order {served}. A prompt that has been begun "
            "competes by what it still needs, like the others.",
        )
    mine, shipped = (_serve(p, documents()).mean_ttft for p in (policy, MixedPolicy()))
    require(
        mine < 0.6 * shipped,
        f"On 'documents' your mean time to first token is {mine:.0f} ms, and MixedPolicy's "
        f"{shipped:.0f} ms: short prompts must go first there.",
    )
    return f"Mean time to first token on 'documents': {mine:.0f} ms; MixedPolicy {shipped:.0f} ms."


SHORTEST_FIRST = Exercise(
    "12.1",
    "The shortest prompt first",
    "ShortestFirst",
    "medium",
    (
        "Three kinds of sequences: decoding, prefilling and waiting. The first kind goes first. "
        "The other two compete by what they still need.",
        "seq.num_remaining_tokens is what still has to go through the model. Split running by "
        "seq.is_decoding and sort the rest together with waiting.",
        "rest = [seq for seq in running if not seq.is_decoding] + list(waiting); return "
        "[[*decoding, *sorted(rest, key=lambda seq: seq.num_remaining_tokens)]]",
    ),
    _check_shortest_first,
)


# ------------------------------------------------------------------------ 12.2 no starving

LONGEST_WAIT_MS = 700


def _check_patient(policy_class: MakePolicy, random: Random) -> str:
    _probe(made_policy(policy_class), (50, 5))
    served = _serve(made_policy(policy_class), flood())
    again = _serve(made_policy(policy_class), flood())
    require(
        served.token_ms == again.token_ms,
        "The same requests, served twice, came out at different times: your order throws dice. "
        "Then nobody is promised anything, and no run can be repeated to find a fault.",
    )
    waited, first = served.ttft(DOCUMENT), served.token_ms[DOCUMENT][0]
    num_overtook = sum(
        seq_id > DOCUMENT and times[0] < first for seq_id, times in served.token_ms.items()
    )
    require(
        waited <= LONGEST_WAIT_MS,
        f"In the flood the document waits {waited:.0f} ms for its first token, and {num_overtook} "
        f"later requests overtake it. Nobody may wait longer than {LONGEST_WAIT_MS} ms there: the "
        "longer a sequence has waited, the better its rank must get.",
    )
    seed = random.randrange(2**31)
    elsewhere = _serve(made_policy(policy_class), flood(seed)).ttft(DOCUMENT)
    require(
        elsewhere <= 2 * LONGEST_WAIT_MS,
        f"In this flood the document starts after {waited:.0f} ms, but in another one (seed "
        f"{seed}) after {elsewhere:.0f} ms. Its rank must get better for as long as it waits.",
    )
    mine = _serve(made_policy(policy_class), documents()).mean_ttft
    shipped = _serve(MixedPolicy(), documents()).mean_ttft
    require(
        mine < 0.8 * shipped,
        f"Nobody starves, but on 'documents' your mean time to first token is {mine:.0f} ms, and "
        f"MixedPolicy's {shipped:.0f} ms: short prompts must still go first most of the time.",
    )
    return (
        f"The document waits {waited:.0f} ms in the flood, and on 'documents' the mean time to "
        f"first token is {mine:.0f} ms (MixedPolicy: {shipped:.0f} ms)."
    )


PATIENT = Exercise(
    "12.2",
    "Short first, and nobody starves",
    "PatientShortestFirst",
    "hard",
    (
        "A policy has no clock, but order() is called once for every step. What could you count?",
        "Count in a dict how many steps each waiting sequence has been passed over. Rank by "
        "its length minus a bonus for every step.",
        "In __init__: self.steps = {}. In order: add 1 for each waiting seq, then sort waiting by "
        "seq.num_remaining_tokens - 10 * self.steps[seq.seq_id].",
    ),
    _check_patient,
)


# ------------------------------------------------------------------- 12.3 admit with care


MIN_SPEED = 0.85
"""Of MixedPolicy's tokens per second: what care may cost. Reserving full lengths costs 9%."""


def _check_careful(policy_class: MakePolicy, _: Random) -> str:
    policy = made_policy(policy_class)
    require_written(made_policy(policy_class).order((), ()))
    mine, shipped = score(policy, memory()), score(MixedPolicy(), memory())
    waste, allowed = mine.num_recomputed_tokens, shipped.num_recomputed_tokens // 2
    require(
        waste <= allowed,
        f"On 'memory' {waste} tokens go through the model more than once; MixedPolicy recomputes "
        f"{shipped.num_recomputed_tokens}. Get it to {allowed} or fewer: whom you do not admit, "
        "you need not preempt.",
    )
    require(
        mine.tokens_per_second >= MIN_SPEED * shipped.tokens_per_second,
        f"Only {waste} tokens are recomputed, but you serve {mine.tokens_per_second:.0f} tokens/s "
        f"and MixedPolicy {shipped.tokens_per_second:.0f}: too few sequences share a step. Up to "
        f"{1 - MIN_SPEED:.0%} less is fine; admit more of them.",
    )
    return (
        f"{waste} recomputed tokens (MixedPolicy: {shipped.num_recomputed_tokens}) at "
        f"{mine.tokens_per_second:.0f} tokens/s (MixedPolicy: {shipped.tokens_per_second:.0f})."
    )


CAREFUL = Exercise(
    "12.3",
    "Admit with care",
    "Careful",
    "hard",
    (
        "The pool holds 48 blocks of 16 tokens. How long will the sequences get, and how many of "
        "that length fit?",
        "order() may leave the waiting ones out of its answer: then they wait. Do it when enough "
        "are running.",
        "if len(running) >= 8: waiting = (). Then order as MixedPolicy does. The engine never "
        "stalls as long as somebody runs.",
    ),
    _check_careful,
)

EXERCISES = (SHORTEST_FIRST, PATIENT, CAREFUL)
