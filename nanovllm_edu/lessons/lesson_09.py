"""Exercises of lesson 09, sampling: a filter, and a draw that no other request can disturb."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.lessons.checks import require, require_equal, require_int, require_written
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.llm import LLM
from nanovllm_edu.sampling import stages
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingTensors

PROMPT = "Once upon a time, there was a"
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


def _check_top_p(top_p: TopP) -> str:
    for probabilities, p in CASES:
        # A constant added to all logits changes no probability, but catches who takes them for one.
        logits = torch.tensor(probabilities).log() + 3.0
        got = top_p(logits.clone(), p)
        require_written(got)
        _compare_kept(got, logits, probabilities, p)
    with LLM(num_blocks=64) as llm:
        for seed in range(3):
            params = SamplingParams(top_p=0.8, seed=seed, max_tokens=6, ignore_eos=True)
            mine = _generate(llm, SamplerWith(_choose_with(top_p)), [PROMPT], params)
            shipped = _generate(llm, Sampler(), [PROMPT], params)
            require_equal(mine, shipped, f"The text of seed {seed}")
    return "Five distributions cut where they should be, and inside the engine the same text."


def _choose_with(top_p: TopP) -> Callable[[Tensor, SamplingTensors], Tensor]:
    def choose(logits: Tensor, params: SamplingTensors) -> Tensor:
        assert params.top_p is not None
        rows = [
            top_p(row, p)
            for row, p in zip(logits.float().clone(), params.top_p.tolist(), strict=True)
        ]
        no_filter = SamplingTensors(
            params.num_rows, params.num_logprobs, params.is_random, None, params.seeds,
            params.positions,
        )  # fmt: skip
        return Sampler().choose(torch.stack(rows), no_filter)

    return choose


def _compare_kept(got: Any, logits: Tensor, probabilities: tuple[float, ...], p: float) -> None:
    call = f"Probabilities {probabilities}, p={p}"
    is_logits = isinstance(got, Tensor) and got.shape == logits.shape
    require(is_logits, f"{call}: return a tensor of {len(logits)} logits; you gave {got!r}.")
    kept = [i for i, value in enumerate(got.tolist()) if value != stages.DROPPED]
    row, limit = logits[None], torch.tensor([p])
    want = stages.apply_top_p(row, limit)[0].isfinite().nonzero().flatten().tolist()
    require(bool(kept), f"{call}: every token is dropped. The likeliest one always stays.")
    require(
        torch.equal(got[kept], logits[kept]),
        f"{call}: a kept token has another logit than before. A filter only drops: write -inf for "
        "the others and leave the kept ones alone.",
    )
    total = sum(probabilities[i] for i in kept)
    require(
        len(kept) >= len(want),
        f"{call}: you keep {len(kept)} token(s), {total:.2f} together, which does not reach {p}. "
        "The token that crosses p belongs to the set.",
    )
    require(
        len(kept) <= len(want),
        f"{call}: you keep {len(kept)} tokens; the {len(want)} likeliest already reach {p}.",
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
NUM_DRAWS = 800
TOLERANCE = 0.08
"""More than four standard deviations of a frequency out of 800 draws."""


def _check_draw(draw: Draw) -> str:
    logits = torch.tensor(PROBABILITIES).log()
    require_int(draw(logits.clone(), 1, 2), "A token id")
    _check_repeats(draw, logits)
    over_positions = [int(draw(logits.clone(), 5, position)) for position in range(NUM_DRAWS)]
    require(
        len(set(over_positions[:60])) > 1,
        f"Seed 5 draws token {over_positions[0]} at each of 60 positions. Either nothing is drawn, "
        "or the random number does not depend on the position.",
    )
    over_seeds = [int(draw(logits.clone(), seed, 9)) for seed in range(NUM_DRAWS)]
    require(
        len(set(over_seeds[:60])) > 1,
        f"60 seeds all draw token {over_seeds[0]}: the random number does not depend on the seed.",
    )
    _check_frequencies(over_positions, "positions of one seed")
    _check_frequencies(over_seeds, "seeds at one position")
    _check_shifts(draw, logits)
    return _check_batches(draw)


def _check_repeats(draw: Draw, logits: Tensor) -> None:
    for position in range(40):
        first, second = (int(draw(logits.clone(), 3, position)) for _ in range(2))
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


def _check_shifts(draw: Draw, logits: Tensor) -> None:
    here = [int(draw(logits.clone(), 11, position)) for position in range(60)]
    shifted = [int(draw(logits.clone(), 12, position - 1)) for position in range(60)]
    require(
        here != shifted,
        "Seed 11 at position p draws the same as seed 12 at position p - 1, for every p: the seeds "
        "are shifted copies of each other. Mix the two numbers, do not add them.",
    )


def _check_batches(draw: Draw) -> str:
    def choose(logits: Tensor, params: SamplingTensors) -> Tensor:
        assert params.seeds is not None
        assert params.positions is not None
        rows = zip(logits.float(), params.seeds.tolist(), params.positions.tolist(), strict=True)
        return torch.tensor([int(draw(row.clone(), *where)) for row, *where in rows])

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
