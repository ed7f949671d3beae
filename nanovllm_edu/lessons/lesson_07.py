"""Exercises of lesson 07, chunked prefill: cut a prompt, and choose the budget of a step."""

from collections.abc import Callable
from random import Random
from typing import Any

from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    greedy,
    require,
    whole_number,
    whole_numbers,
)
from nanovllm_edu.lessons.clock import Arrival, StepCost, serve
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.shown import shown

# --------------------------------------------------------------------------- 07.1 cut it

CutPrompt = Callable[[int, int, int], Any]
CUT_CASES = ((20, 0, 8), (16, 0, 8), (5, 0, 8), (20, 3, 8), (13, 6, 8), (30, 4, 16))
"""(prompt tokens, decoding sequences, budget)."""


def _chunks_of_engine(num_prompt_tokens: int, num_decoding: int, budget: int) -> list[int]:
    """What the real scheduler makes of it: decodes are under way, then the prompt arrives."""
    engine = checksum_engine(num_blocks=64, max_num_batched_tokens=budget)
    for i in range(num_decoding):
        engine.add_request([100 + i], greedy(60))
    while any(not seq.is_decoding for seq in engine.scheduler.waiting.values()):
        engine.step()
    seq_id = engine.add_request(list(range(num_prompt_tokens)), greedy(1))
    spans = [span for record in finish(engine) for span in record.spans]
    return [span.num_tokens for span in spans if span.seq_id == seq_id]


def _check_cut_prompt(cut_prompt: CutPrompt, random: Random) -> str:
    fresh = [_random_cut(random) for _ in range(4)]
    for num_prompt_tokens, num_decoding, budget in (*CUT_CASES, *fresh):
        call = f"cut_prompt({num_prompt_tokens}, {num_decoding}, {budget})"
        got = whole_numbers(cut_prompt(num_prompt_tokens, num_decoding, budget), call)
        want = _chunks_of_engine(num_prompt_tokens, num_decoding, budget)
        _compare_chunks(call, got, want, num_prompt_tokens, num_decoding, budget)
    return f"{len(CUT_CASES) + len(fresh)} prompts cut exactly as the scheduler cuts them."


def _random_cut(random: Random) -> tuple[int, int, int]:
    num_decoding = random.randint(0, 6)
    return random.randint(1, 60), num_decoding, num_decoding + random.randint(2, 20)


def _compare_chunks(
    call: str, got: list[int], want: list[int], num_prompt_tokens: int, decoding: int, budget: int
) -> None:
    require(
        sum(got) == num_prompt_tokens,
        f"{call}: your chunks {shown(got)} are {sum(got)} tokens together; the prompt has "
        f"{num_prompt_tokens}.",
    )
    require(
        0 not in got, f"{call}: your chunks {shown(got)} contain an empty one. That step is wasted."
    )
    for size in got:
        require(
            size + decoding <= budget,
            f"{call}: a chunk of {size} and {decoding} decodes are {size + decoding} tokens, and "
            f"the budget is {budget}. Decodes come first, one token each.",
        )
    require(
        got == want,
        f"{call}: the scheduler cuts {want}, you cut {shown(got)}. Each step takes as much as "
        "fits.",
    )


CUT_PROMPT = Exercise(
    "07.1",
    "Cut the prompt",
    "cut_prompt",
    "easy",
    (
        "Every step gives one token to each decoding sequence. How much of the budget is left?",
        "Take min(what is left of the prompt, budget - num_decoding) until nothing is left.",
        "room = budget - num_decoding; while left > 0: chunks.append(min(left, room)); "
        "left -= chunks[-1]",
    ),
    _check_cut_prompt,
)

# ------------------------------------------------------------------- 07.2 choose a budget

ChooseBudget = Callable[[float, float, float], Any]
BUDGET_CASES = (
    (40.0, 10.0, 0.125),
    (25.0, 10.0, 0.125),
    (30.0, 5.0, 0.25),
    (12.5, 10.0, 0.0625),
    (22.0, 10.0, 0.75),
)
"""(longest allowed gap, milliseconds of a step, milliseconds of a token).

Sums of powers of two: floating point is exact with them, so `/` and `//` give the same. With 0.1,
(40 - 10) // 0.1 is 299, because the number nearest to a tenth is a little more than a tenth.
"""


def _worst_gap(budget: int, cost: StepCost) -> float:
    """The longest pause of three answers while a long prompt is computed, in the real engine."""
    arrivals = [Arrival(0.0, [1 + i], 40) for i in range(3)]
    arrivals.append(Arrival(2.5 * cost.step_ms, [7] * 400, 4))
    engine = checksum_engine(num_blocks=64, block_size=16, max_num_batched_tokens=budget)
    return serve(engine, arrivals, cost).all_gaps[-1]


def _random_budget(random: Random) -> tuple[float, float, float]:
    """Three quarters of a token remain, so that rounding is seen."""
    token_ms, step_ms = random.choice((0.0625, 0.125, 0.25, 0.5)), float(random.randint(4, 12))
    return step_ms + token_ms * (random.randint(8, 300) + 0.75), step_ms, token_ms


def _check_choose_budget(choose_budget: ChooseBudget, random: Random) -> str:
    fresh = [_random_budget(random) for _ in range(3)]
    for limit, step_ms, token_ms in (*BUDGET_CASES, *fresh):
        call = f"choose_budget({limit}, {step_ms}, {token_ms})"
        budget = whole_number(choose_budget(limit, step_ms, token_ms), call)
        require(
            budget > 3,
            f"{call}: a budget of {budget} does not even hold the decodes. Is everything in "
            "milliseconds?",
        )
        cost = StepCost(step_ms, token_ms)
        worst = _worst_gap(budget, cost)
        require(
            worst <= limit + 1e-6,
            f"{call}: with a budget of {budget} the longest gap in the engine is {worst:g} ms, "
            f"and {limit} ms are allowed. A full step costs {step_ms} + {token_ms} * budget.",
        )
        require(
            cost.of(budget + 1) > limit + 1e-9,
            f"{call}: {budget} keeps every gap below {limit} ms, but so does {budget + 1}: a "
            "larger budget computes the prompt in fewer steps.",
        )
    return (
        f"{len(BUDGET_CASES) + len(fresh)} budgets: as large as the allowed gap permits, and not a "
        "token more. (All numbers here are exact in floating point. With 0.1 ms a token, "
        "(40 - 10) // 0.1 would be 299: the float nearest to a tenth is a little larger.)"
    )


CHOOSE_BUDGET = Exercise(
    "07.2",
    "Choose the budget",
    "choose_budget",
    "easy",
    (
        "The longest gap between two tokens is the duration of a full step.",
        "A full step takes step_ms + token_ms * budget. Solve for the budget, and round down.",
        "int((max_gap_ms - step_ms) / token_ms). (In real life add a tiny number before rounding "
        "down: the quotient may come out as 149.999.)",
    ),
    _check_choose_budget,
)

EXERCISES = (CUT_PROMPT, CHOOSE_BUDGET)
