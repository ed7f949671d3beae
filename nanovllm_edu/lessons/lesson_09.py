"""Exercises of lesson 09, sampling: a filter, and a draw that no other request can disturb."""

from collections.abc import Callable
from itertools import accumulate, product
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.lessons.checks import require, require_equal, require_written, whole_number
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.tensors import tensor
from nanovllm_edu.llm import LLM
from nanovllm_edu.sampling import stages
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingTensors

PROMPT = "There was once a"
OTHERS = ["What is a token?", "One morning in Willow Bay,", "Explain preemption."]


class SamplerWith(Sampler):
    """The engine's sampler with its choice replaced by a function of (logits, options)."""

    def __init__(self, choose: Callable[[Tensor, SamplingTensors], Tensor]) -> None:
        self._choose = choose

    def choose(self, logits: Tensor, params: SamplingTensors) -> Tensor:
        return self._choose(logits, params)


def _generate(
    llm: LLM, sampler: Sampler, prompts: list[Any], params: SamplingParams
) -> list[list[int]]:
    """What the model in the box says when its engine samples with `sampler`."""
    llm.engine.runner._sampler = sampler  # type: ignore[attr-defined]
    return [output.token_ids for output in llm.generate(prompts, params, use_tqdm=False)]


# ------------------------------------------------------------------------------- 09.1 top-p

TopP = Callable[[Tensor, float], Any]

CASES = (
    ((0.5, 0.3, 0.15, 0.05), 0.6),
    ((0.05, 0.5, 0.15, 0.3), 0.7),
    ((0.3, 0.05, 0.15, 0.5), 0.9),
    ((0.15, 0.5, 0.05, 0.3), 0.1),
    ((0.15, 0.3, 0.05, 0.5), 1.0),
)
"""(probabilities, p)."""


def _random_case(random: Random) -> tuple[tuple[float, ...], float]:
    """Probabilities that differ, and a p well between two of their sums."""
    weights = random.sample(range(5, 100), random.randint(3, 9))
    shares = tuple(weight / sum(weights) for weight in weights)
    sums = [0.0, *accumulate(sorted(shares, reverse=True))]
    place = random.randrange(len(shares))
    return shares, (sums[place] + sums[place + 1]) / 2


def _check_top_p(top_p: TopP, random: Random) -> str:
    fresh = [_random_case(random) for _ in range(6)]
    for probabilities, p in (*CASES, *fresh):
        # A constant added to all logits changes no probability, but catches who takes them for one.
        logits = torch.tensor(probabilities).log() + 3.0
        require_written(got := top_p(logits.clone(), p))
        what = f"Probabilities {_rounded(probabilities)}, p={p:.3g}: what you return"
        _compare_kept(tensor(got, tuple(logits.shape), what), logits, probabilities, p)
    with LLM(num_blocks=64) as llm:
        for seed in range(3):
            params = SamplingParams(top_p=0.8, seed=seed, max_tokens=6, ignore_eos=True)
            mine = _generate(llm, SamplerWith(_choose_with(top_p)), [PROMPT], params)
            shipped = _generate(llm, Sampler(), [PROMPT], params)
            require_equal(mine, shipped, f"The text of seed {seed}")
    num_cases = len(CASES) + len(fresh)
    return (
        f"{num_cases} distributions cut where they should be, and inside the engine the same text."
    )


def _choose_with(top_p: TopP) -> Callable[[Tensor, SamplingTensors], Tensor]:
    def choose(logits: Tensor, params: SamplingTensors) -> Tensor:
        assert params.top_p is not None
        rows = [
            tensor(top_p(row, p), tuple(row.shape), "What top_p returns")
            for row, p in zip(logits.float().clone(), params.top_p.tolist(), strict=True)
        ]
        no_filter = SamplingTensors(
            params.num_rows, params.num_logprobs, params.is_random, None, params.seeds,
            params.positions,
        )  # fmt: skip
        return Sampler().choose(torch.stack(rows), no_filter)

    return choose


def _rounded(probabilities: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(share, 3) for share in probabilities)


def _compare_kept(got: Tensor, logits: Tensor, probabilities: tuple[float, ...], p: float) -> None:
    call = f"Probabilities {_rounded(probabilities)}, p={p:.3g}"
    kept = [i for i, value in enumerate(got.tolist()) if value != stages.DROPPED]
    row, limit = logits[None], torch.tensor([p])
    want = stages.apply_top_p(row, limit)[0].isfinite().nonzero().flatten().tolist()
    require(bool(kept), f"{call}: every token is dropped. The likeliest one always stays.")
    require(
        torch.allclose(got[kept], logits[kept], atol=1e-5),
        f"{call}: a kept token has another logit than before. A filter only drops: write -inf for "
        "the others and leave the kept ones alone.",
    )
    total = sum(probabilities[i] for i in kept)
    require(
        len(kept) >= len(want),
        f"{call}: you keep {counted(len(kept), 'token')}, {total:.2f} together, which does "
        f"not reach {p:.3g}. The token that crosses p belongs to the set.",
    )
    require(
        len(kept) <= len(want),
        f"{call}: you keep {len(kept)} tokens; the {len(want)} likeliest already reach {p:.3g}.",
    )
    require(
        kept == want,
        f"{call}: you keep tokens {kept}; the likeliest ones are {want}. A mask made in sorted "
        "order must be put back into the order of the vocabulary.",
    )


TOP_P = Exercise(
    "09.1",
    "Cut the tail: top-p",
    "top_p",
    "medium",
    (
        "Sort the probabilities, likeliest first, and add them up. Where does the sum reach p?",
        "Sort the logits themselves: ranked = logits.sort(descending=True).values. A token stays "
        "if the sum of the probabilities *before* it is still below p.",
        "before = ranked.softmax(0).cumsum(0) - ranked.softmax(0); "
        "cutoff = ranked[before < p][-1]; then logits.masked_fill(logits < cutoff, -inf). "
        "No index has to be put back.",
    ),
    _check_top_p,
)


# -------------------------------------------------------------------------------- 09.2 draw

Draw = Callable[[Tensor, int, int], Any]
PROBABILITIES = (0.5, 0.25, 0.15, 0.1)
NUM_DRAWS = 500
TOLERANCE = 0.1
"""More than four standard deviations of a frequency out of 500 draws."""


def _check_draw(answer: Draw, random: Random) -> str:
    def draw(logits: Tensor, seed: int, position: int) -> int:
        token_id = whole_number(answer(logits.clone(), seed, position), "A token id")
        require(
            0 <= token_id < len(logits),
            f"draw gave token {token_id}; there are tokens 0 to {len(logits) - 1}.",
        )
        return token_id

    logits = torch.tensor(PROBABILITIES).log()
    _check_repeats(draw, logits)
    over_positions = [draw(logits, 5, position) for position in range(NUM_DRAWS)]
    require(
        len(set(over_positions[:60])) > 1,
        f"Seed 5 draws token {over_positions[0]} at each of 60 positions. Either nothing is drawn, "
        "or the random number does not depend on the position.",
    )
    over_seeds = [draw(logits, seed, 9) for seed in range(NUM_DRAWS)]
    require(
        len(set(over_seeds[:60])) > 1,
        f"60 seeds all draw token {over_seeds[0]}: the random number does not depend on the seed.",
    )
    _check_frequencies(over_positions, "positions of one seed")
    _check_frequencies(over_seeds, "seeds at one position")
    for mixed, how in MIXTURES.items():
        _check_mixture(draw, logits, mixed, how)
    _check_all_different(draw, random)
    return _check_batches(draw)


def _check_repeats(draw: Draw, logits: Tensor) -> None:
    for position in range(40):
        first, second = (draw(logits, 3, position) for _ in range(2))
        require(
            first == second,
            f"draw(logits, seed=3, position={position}) gave {first}, and called again {second}. "
            "The same arguments must give the same token.",
        )


def _check_frequencies(tokens: list[int], what: str) -> None:
    for token_id, probability in enumerate(PROBABILITIES):
        share = tokens.count(token_id) / len(tokens)
        require(
            abs(share - probability) < TOLERANCE,
            f"Over {len(tokens)} {what} token {token_id} should come up in {probability:.0%} of "
            f"the draws; with yours it is {share:.0%}. Which noise makes argmax a sample of the "
            "softmax?",
        )


MIXTURES: dict[Callable[[int], int], str] = {
    lambda position: position - 1: "p - 1, for every p: the seeds are shifted copies of each "
    "other. Mix the two numbers, do not add them.",
    lambda position: position + 1: "p + 1, for every p: the seeds are shifted copies of each "
    "other. Mix the two numbers, do not subtract them.",
    lambda position: position ^ 11 ^ 12: "p ^ 7, for every p: with seed ^ position the seeds draw "
    "the same numbers in another order. A hash of both mixes them.",
}
"""Position of seed 12 at which a bad mixture draws what seed 11 draws at `position`, and how."""


def _check_mixture(draw: Draw, logits: Tensor, mixed: Callable[[int], int], how: str) -> None:
    positions = range(1, 61)
    here = [draw(logits, 11, position) for position in positions]
    there = [draw(logits, 12, mixed(position)) for position in positions]
    require(here != there, f"Seed 11 at position p draws the same as seed 12 at position {how}")


NUM_SIDES, NUM_TOKENS = 10, 1000


def _check_all_different(draw: Draw, random: Random) -> None:
    """Seeds times positions: with a thousand equal tokens hardly two draws are the same."""
    logits, first = torch.zeros(NUM_TOKENS), random.randrange(2**20)
    for stride in (1, 100, 1000, 1024):
        seeds = range(first, first + NUM_SIDES)
        positions = range(stride, stride * (NUM_SIDES + 1), stride)
        tokens = {draw(logits, seed, position) for seed, position in product(seeds, positions)}
        require(
            len(tokens) > 75,
            f"{NUM_SIDES} seeds at {NUM_SIDES} positions, {stride} apart, are {NUM_SIDES**2} draws "
            f"out of {NUM_TOKENS:,} equally likely tokens, and only {len(tokens)} different ones "
            "came up. Different (seed, position) must give different random numbers: hash both.",
        )


def _check_batches(draw: Draw) -> str:
    def choose(logits: Tensor, params: SamplingTensors) -> Tensor:
        assert params.seeds is not None
        assert params.positions is not None
        rows = zip(logits.float(), params.seeds.tolist(), params.positions.tolist(), strict=True)
        return torch.tensor([draw(row, *where) for row, *where in rows])

    sampler = SamplerWith(choose)
    params = SamplingParams(seed=7, max_tokens=6, ignore_eos=True)
    with LLM(num_blocks=64) as llm:
        alone = _generate(llm, sampler, [PROMPT], params)[0]
        together = _generate(llm, sampler, [*OTHERS, PROMPT], params)[-1]
    require_equal(together, alone, "In a batch of four, the text of the same request")
    return (
        f"Right frequencies over {NUM_DRAWS} seeds and positions, and in the engine the same text "
        "alone and in a batch of four."
    )


DRAW = Exercise(
    "09.2",
    "Draw without a generator",
    "draw",
    "medium",
    (
        "The noise must be a function of (seed, position) and nothing else; then take the largest.",
        "gumbel_noise(seeds, positions, vocab_size) wants two tensors with one entry per row, and "
        "gives noise [rows, vocab]. You have one row.",
        "noise = gumbel_noise(torch.tensor([seed]), torch.tensor([position]), len(logits))[0]; "
        "return int((logits + noise).argmax()).",
    ),
    _check_draw,
)

EXERCISES = (TOP_P, DRAW)
