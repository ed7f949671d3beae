"""Exercises of lesson 06, continuous batching: no idle rows, and how to measure them."""

from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from typing import Any

from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy, SchedulingPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    generated,
    greedy,
    number,
    require,
    require_equal,
    require_written,
)
from nanovllm_edu.lessons.exercise import Exercise, Wrong
from nanovllm_edu.lessons.static_batching import StaticPolicy
from nanovllm_edu.runners.checksum import expected_tokens

NUM_ROWS = 3
LENGTHS = (3, 9, 5, 2, 7, 4, 6)
"""New tokens of each request."""


SMALL_BUDGET = 6
"""A prompt and one token: of two that run, one gets nothing if a prompt goes first."""


def _serve(
    policy: SchedulingPolicy, lengths: Sequence[int] = LENGTHS, budget: int = 64
) -> list[StepRecord]:
    engine = checksum_engine(
        num_blocks=64, policy=policy, max_num_seqs=NUM_ROWS, max_num_batched_tokens=budget
    )
    for i, length in enumerate(lengths):
        engine.add_request(_prompt(i), greedy(length))
    return finish(engine)


def _prompt(i: int) -> list[int]:
    return list(range(10 * i, 10 * i + 5))


# ------------------------------------------------------------------- 06.1 a policy


def _check_policy(policy_class: Callable[[], SchedulingPolicy], random: Random) -> str:
    _require_groups(policy_class())
    num_steps = _check_run(policy_class(), LENGTHS)
    _check_run(policy_class(), LENGTHS, SMALL_BUDGET)
    for budget in (64, SMALL_BUDGET):
        lengths = [random.randint(1, 12) for _ in range(random.randint(4, 9))]
        _check_run(policy_class(), lengths, budget)
    num_static = len(_serve(StaticPolicy()))
    return (
        f"{num_steps} steps instead of {num_static}: no row was ever idle while a sequence waited."
    )


def _require_groups(policy: SchedulingPolicy) -> None:
    groups = policy.order((), ())
    require_written(groups)
    for group in groups:
        require_written(group)


def _check_run(policy: SchedulingPolicy, lengths: Sequence[int], budget: int = 64) -> int:
    """Looks at every step of a run, and at every token; returns the number of steps."""
    records = _serve(policy, lengths, budget)
    seen: list[int] = []
    for record in records:
        _check_step(record, seen, budget)
    tokens = generated(records)
    for i, length in enumerate(lengths):
        want = expected_tokens(_prompt(i), greedy(length), 0)
        require_equal(tokens.get(i), want, f"The output of seq {i}")
    return len(records)


def _check_step(record: StepRecord, seen: list[int], budget: int) -> None:
    at_work = [span.seq_id for span in record.spans]
    starting = [seq_id for seq_id in at_work if seq_id not in seen]
    expected = list(range(len(seen), len(seen) + len(starting)))
    require(
        sorted(starting) == expected,
        f"Step {record.step_id} starts {sorted(starting)} although {expected} came first: first "
        "come, first served.",
    )
    seen += starting
    stalled = [seq_id for seq_id in record.running if seq_id not in at_work]
    require(
        not stalled,
        f"In step {record.step_id} the running sequences {stalled} got no token: they stood still "
        "while others were computed. "
        + (
            "Put everybody into one group."
            if record.num_tokens < budget
            else f"All {budget} tokens of the step went to others: those that run come first."
        ),
    )
    if record.waiting and len(at_work) < NUM_ROWS and record.num_tokens < budget:
        raise Wrong(
            f"In step {record.step_id} only {len(at_work)} of {NUM_ROWS} rows worked while "
            f"sequences {list(record.waiting)} waited. Let them join at once, in "
            "one group with those that run."
        )


POLICY = Exercise(
    "06.1",
    "From static to continuous",
    "MyPolicy",
    "easy",
    (
        "When may a waiting sequence join? What does the policy say about it now?",
        "order() returns groups; a step takes the first group that can run. Running and waiting "
        "sequences must be in one group to share a step.",
        "return [[*running, *waiting]]: one group, those that run first.",
    ),
    _check_policy,
)


# -------------------------------------------------------------------- 06.2 idle rows


def _check_idle_share(idle_share: Callable[[list[StepRecord], int], Any], random: Random) -> str:
    fresh = [random.randint(1, 12) for _ in range(8)]
    policies = (StaticPolicy(), MixedPolicy(), PhaseSeparatedPolicy())
    for policy, lengths in product(policies, (LENGTHS, fresh)):
        records = _serve(policy, lengths)
        total = len(records) * NUM_ROWS
        at_work = sum(len(record.spans) for record in records)
        got = number(idle_share(records, NUM_ROWS), "The share")
        require(
            abs(got - (1 - at_work / total)) < 1e-5,
            f"{policy!r}: {len(records)} steps of {NUM_ROWS} rows are {total} row-steps, "
            f"{at_work} of them at work, so {1 - at_work / total:.3f} are idle. You gave {got:.3f}."
            + _why_share(got, records),
        )
    return "Right for all three policies."


def _why_share(got: float, records: list[StepRecord]) -> str:
    total = len(records) * NUM_ROWS
    mistakes = {
        "That is the share at work.": sum(len(r.spans) for r in records) / total,
        "Count sequences (spans), not tokens: a prompt of 5 tokens takes one row.": 1
        - sum(r.num_tokens for r in records) / total,
        "record.running leaves out sequences that finished in this very step; use record.spans.": 1
        - sum(len(r.running) for r in records) / total,
        "That is the number of row-steps, not a share of them.": total
        - sum(len(r.spans) for r in records),
    }
    return "".join(f" {text}" for text, wrong in mistakes.items() if abs(got - wrong) < 1e-6)


IDLE_SHARE = Exercise(
    "06.2",
    "Idle rows",
    "idle_share",
    "easy",
    (
        "In each step there are num_rows rows. How many of them have a span?",
        "Add up len(record.spans) over all steps and compare with len(records) * num_rows.",
        "1 - sum(len(r.spans) for r in records) / (len(records) * num_rows)",
    ),
    _check_idle_share,
)

EXERCISES = (POLICY, IDLE_SHARE)
