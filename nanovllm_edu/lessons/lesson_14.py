"""Exercises of lesson 14, several tokens a step: keep a guess or draw anew; how many to make."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from random import Random
from typing import Any

from nanovllm_edu.lessons.checks import require, whole_number
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.guessing import guess_along, tokens_a_step

# ------------------------------------------------------------------------- 14.1 keep or draw

Odds = tuple[float, ...]
KeepOrDraw = Callable[[list[float], list[float], int, Random], Any]

CASES: tuple[tuple[Odds, Odds], ...] = (
    ((0.45, 0.25, 0.3), (0.0, 1.0, 0.0)),
    ((0.5, 0.3, 0.2), (0.2, 0.3, 0.5)),
    ((0.1, 0.6, 0.3), (0.7, 0.2, 0.1)),
    ((0.0, 0.4, 0.6), (0.5, 0.5, 0.0)),
    ((0.5, 0.25, 0.25), (0.5, 0.25, 0.25)),
)
"""(the model's probabilities, the draft's). The first draft is one that is always sure."""

NUM_DRAWS = 600
"""For each guess. Shares are compared to within five standard deviations."""


def _random_case(random: Random) -> tuple[Odds, Odds]:
    shares = [[random.randint(1, 20) for _ in range(4)] for _ in range(2)]
    p, q = (tuple(value / sum(values) for value in values) for values in shares)
    return p, q


def _check_keep_or_draw(keep_or_draw: KeepOrDraw, random: Random) -> str:
    fresh = [_random_case(random) for _ in range(2)]
    for p, q in (*CASES, *fresh):
        settled = [0.0] * len(p)
        for guess in (token for token, share in enumerate(q) if share):
            counts = _draws(keep_or_draw, p, q, guess, random)
            _check_kept(p, q, guess, counts[guess] / NUM_DRAWS)
            for token, count in counts.items():
                settled[token] += q[guess] * count / NUM_DRAWS
        _check_settled(p, q, settled)
    return (
        f"{len(CASES) + len(fresh)} pairs of models: what is settled follows the large one, and "
        "no rule keeps more guesses: the sum of min(p, q)."
    )


def _draws(keep_or_draw: KeepOrDraw, p: Odds, q: Odds, guess: int, random: Random) -> Counter[int]:
    """How often each token is settled when `guess` was guessed."""
    counts: Counter[int] = Counter()
    what = f"What keep_or_draw({_shown(p)}, {_shown(q)}, {guess}, random) returns"
    for _ in range(NUM_DRAWS):
        token = whole_number(keep_or_draw(list(p), list(q), guess, random), what)
        require(0 <= token < len(p), f"{what} is a token id from 0 to {len(p) - 1}, not {token}.")
        counts[token] += 1
    return counts


def _check_kept(p: Odds, q: Odds, guess: int, share: float) -> None:
    """A guess must stay with probability min(1, p/q): less is waste, more is bias."""
    want = min(1.0, p[guess] / q[guess])
    off = 5 * sqrt(max(want * (1 - want), 0.01) / NUM_DRAWS)
    case = f"p = {_shown(p)}, q = {_shown(q)}: the guess {guess} is settled in {share:.0%}"
    require(
        share >= want - off,
        f"{case} of the draws; {want:.0%} can be kept. The model gives it {p[guess]:.2f}, the "
        f"draft {q[guess]:.2f}: where the model likes it at least as much, every guess may stay.",
    )
    drawn_again = want + (1 - want) * p[guess]
    require(
        share <= want + off or abs(share - drawn_again) > off,
        f"{case} of the draws; it should be {want:.0%}. It seems that after a refusal you draw "
        "from p: then the guess gets a second chance, and comes up too often. Draw from what p has "
        "left over when q is taken off.",
    )
    require(
        share <= want + off,
        f"{case} of the draws; it should be {want:.0%}. The draft guesses it {q[guess]:.2f} of the "
        f"time, and the model wants it {p[guess]:.2f} of the time: keep p / q of the guesses.",
    )


def _check_settled(p: Odds, q: Odds, settled: Sequence[float]) -> None:
    off = 5 * sqrt(0.25 * sum(share**2 for share in q) / NUM_DRAWS)
    for token, (got, want) in enumerate(zip(settled, p, strict=True)):
        require(
            abs(got - want) <= off,
            f"p = {_shown(p)}, q = {_shown(q)}: guesses are kept as they should be, but token "
            f"{token} comes up in {got:.0%} of all draws and the model wants {want:.0%}. After a "
            "refusal, only tokens that the draft guesses too rarely need more: weigh each token "
            "with max(0, p - q).",
        )


def _shown(odds: Odds) -> list[float]:
    return [round(share, 2) for share in odds]


KEEP_OR_DRAW = Exercise(
    "14.1",
    "Keep it or draw anew",
    "keep_or_draw",
    "medium",
    (
        "The draft says `guess` with probability q[guess], and the model wants it with p[guess]. "
        "If q is too large, which share of the guesses may stay?",
        "Keep the guess with probability min(1, p[guess] / q[guess]). If it is refused, draw from "
        "what is missing so far: each token x lacks max(0, p[x] - q[x]).",
        "if random.random() < p[guess] / q[guess]: return guess; then "
        "random.choices(range(len(p)), [max(0, a - b) for a, b in zip(p, q)])[0].",
    ),
    _check_keep_or_draw,
)

# ---------------------------------------------------------------------- 14.2 how many guesses

NumGuesses = Callable[[float, float, float, float, int], Any]
Costs = tuple[float, float, float, float, int]

COST_CASES: tuple[Costs, ...] = (
    (0.8, 1.0, 10.0, 0.1, 8),
    (0.8, 1.0, 10.0, 6.4, 8),
    (0.0, 1.0, 10.0, 0.1, 8),
    (1.0, 0.5, 10.0, 0.1, 6),
    (0.3, 4.0, 10.0, 0.1, 8),
    (0.5, 0.0, 10.0, 0.5, 8),
)
"""(acceptance, guess_ms, step_ms, token_ms, most)."""


def tokens_expected(acceptance: float, num_guesses: int) -> float:
    """Tokens that a step settles: the first always comes, the k-th if k - 1 guesses are right."""
    return sum(acceptance**k for k in range(num_guesses + 1))


def speed(num_guesses: int, costs: Costs) -> float:
    """Tokens a millisecond with so many guesses a step."""
    acceptance, guess_ms, step_ms, token_ms, _ = costs
    milliseconds = num_guesses * guess_ms + step_ms + (num_guesses + 1) * token_ms
    return tokens_expected(acceptance, num_guesses) / milliseconds


def _random_costs(random: Random) -> Costs:
    return (
        random.randint(1, 19) / 20, random.randint(0, 12) / 4, float(random.randint(4, 12)),
        random.choice((0.05, 0.1, 0.8, 3.2)), random.randint(3, 10),
    )  # fmt: skip


def _check_num_guesses(num_guesses: NumGuesses, random: Random) -> str:
    fresh = [_random_costs(random) for _ in range(5)]
    for costs in (*COST_CASES, *fresh):
        most = costs[-1]
        call = f"num_guesses{costs}"
        got = whole_number(num_guesses(*costs), call)
        require(0 <= got <= most, f"{call} is from 0 (do not guess) to {most}; you gave {got}.")
        best = max(range(most + 1), key=lambda k: speed(k, costs))
        require(
            speed(got, costs) >= speed(best, costs) * (1 - 1e-9),
            f"{call}: guessing {got} at a time settles {tokens_expected(costs[0], got):.2f} "
            f"tokens on average, {1000 * speed(got, costs):.1f} a second; with {best} it is "
            f"{tokens_expected(costs[0], best):.2f} and {1000 * speed(best, costs):.1f}.",
        )
    counted = tokens_a_step(guess_along(0.8, 3, random.randrange(100)))
    return (
        f"{len(COST_CASES) + len(fresh)} times the fastest. Counted in the engine, three guesses "
        f"that are right 80% of the time: {counted:.2f} tokens a step; the sum says "
        f"{tokens_expected(0.8, 3):.2f}."
    )


NUM_GUESSES = Exercise(
    "14.2",
    "How many guesses?",
    "num_guesses",
    "medium",
    (
        "What does a step with k guesses settle on average? A guess counts only if all before it "
        "were right, and one token always comes on top.",
        "That is 1 + a + a² + ... + a^k tokens, in k * guess_ms + step_ms + (k + 1) * token_ms. "
        "Compute tokens per millisecond for every k from 0 to `most`.",
        "max(range(most + 1), key=lambda k: sum(a**i for i in range(k + 1)) / (k * guess_ms + "
        "step_ms + (k + 1) * token_ms)). The sum has no trouble with a = 1; the closed form has.",
    ),
    _check_num_guesses,
    shipped=(speed, tokens_expected),
)

EXERCISES = (KEEP_OR_DRAW, NUM_GUESSES)
