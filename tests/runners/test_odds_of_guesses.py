"""What guessing gives is distributed as what plain decoding gives: chi-square over 20,480 draws.

Guessing and plain decoding are given different seeds, so that nothing but the odds can agree.
"""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from nanovllm_edu.core.plan import BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.runners import select
from nanovllm_edu.runners.eager import EagerRunner

NUM_DRAWS = 20_480
VOCAB_SIZE = 8
PROMPT = (1, 2, 3)
GUESSES = (0, 6)
Tokens = tuple[int, ...]


@pytest.fixture(scope="module")
def model() -> Qwen3ForCausalLM:
    torch.manual_seed(5)
    config = ModelConfig(
        architecture="Qwen3ForCausalLM", vocab_size=VOCAB_SIZE, hidden_size=16, num_layers=1,
        num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=16,
        max_position_embeddings=16, tie_word_embeddings=True, qk_norm=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2 if parameter.dim() > 1 else 1.0)
    return model


def started(
    model: Qwen3ForCausalLM, sampling: SamplingParams, first_seed: int
) -> tuple[EagerRunner, StepPlan]:
    """A runner, and a plan that gives each draw a row, two blocks and a seed of its own."""
    choice = select.choose("auto", torch.device("cpu"), torch.float32, 16, 4)
    runner = EagerRunner.build(
        model, select.make(choice), num_blocks=2 * NUM_DRAWS, block_size=4,
        max_num_seqs=NUM_DRAWS, max_model_len=8,
    )  # fmt: skip
    rows = range(NUM_DRAWS)
    joined = tuple(Joined(i, i, PROMPT, 3, sampling, first_seed + i) for i in rows)
    blocks = tuple(BlockUpdate(0, i, 0, (2 * i, 2 * i + 1)) for i in rows)
    return runner, StepPlan(0, joined=joined, block_updates=blocks)


def guessed(model: Qwen3ForCausalLM, sampling: SamplingParams, first_seed: int) -> list[Tokens]:
    """What one step with two guesses gives: up to the first that is not what the model says."""
    runner, plan = started(model, sampling, first_seed)
    given = (*PROMPT, *GUESSES)
    spans = Spans(Span(i, i, 0, 5, given, 2) for i in range(NUM_DRAWS))
    tokens = runner.launch(replace(plan, spans=spans)).wait().tokens
    return [tokens[i] for i in range(NUM_DRAWS)]


def plain(model: Qwen3ForCausalLM, sampling: SamplingParams, first_seed: int) -> list[Tokens]:
    """The same of three steps without guesses."""
    runner, plan = started(model, sampling, first_seed)
    steps: list[list[int]] = []
    for start, num_tokens in ((0, 3), (3, 1), (4, 1)):
        spans = Spans(Span(i, i, start, num_tokens) for i in range(NUM_DRAWS))
        news = replace(plan, spans=spans) if start == 0 else StepPlan(1, spans)
        tokens = runner.launch(news).wait().tokens
        steps.append([tokens[i][0] for i in range(NUM_DRAWS)])
    return [up_to_first_wrong(said) for said in zip(*steps, strict=True)]


def up_to_first_wrong(said: Tokens) -> Tokens:
    """Three tokens, as far as a step with the guesses would have come to know them."""
    num_right = 0
    while num_right < len(GUESSES) and said[num_right] == GUESSES[num_right]:
        num_right += 1
    return said[: num_right + 1]


def deviation(ones: list[Tokens], others: list[Tokens]) -> float:
    """How far two samples differ beyond chance, in standard deviations of a normal variable.

    Chi-square for two samples of equal size, cells of few together; the cube root of a chi-square
    variable is nearly normal (Wilson and Hilferty, 1931).
    """
    counts = Counter(ones), Counter(others)
    cells = [(counts[0][key], counts[1][key]) for key in counts[0] | counts[1]]
    rare = [cell for cell in cells if sum(cell) < 10]
    cells = [cell for cell in cells if sum(cell) >= 10] + [tuple(map(sum, zip(*rare, strict=True)))]
    cells = [cell for cell in cells if sum(cell)]
    chi_square = sum((a - b) ** 2 / (a + b) for a, b in cells)
    spread = 2 / 9 / (len(cells) - 1)
    return ((chi_square / (len(cells) - 1)) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


WAYS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.8},
    "filters": {"temperature": 1.3, "top_k": 6, "top_p": 0.95, "min_p": 0.02},
    "penalties": {
        "temperature": 1.2, "top_p": 0.98, "repetition_penalty": 1.3, "presence_penalty": 0.5,
        "frequency_penalty": 0.4,
    },
}  # fmt: skip


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_guessing_draws_with_the_same_odds(
    model: Qwen3ForCausalLM, options: dict[str, Any]
) -> None:
    sampling = SamplingParams(**options)
    ones, others = guessed(model, sampling, 0), plain(model, sampling, 10**6)
    lengths = Counter(map(len, ones))
    assert min(lengths[1], lengths[2], lengths[3]) > 200  # rejected first, rejected later, accepted
    assert abs(deviation(ones, others)) < 3.5


def test_the_comparison_would_notice_a_wrong_way_of_accepting(model: Qwen3ForCausalLM) -> None:
    """A first guess that is kept one time in fifty though the model says something else."""
    sampling = SamplingParams(**WAYS["temperature"])
    others = plain(model, sampling, 10**6)
    ones = guessed(model, sampling, 0)
    biased = [
        GUESSES[:1] + ones[(i + 1) % NUM_DRAWS][1:] if i % 50 == 0 else tokens
        for i, tokens in enumerate(ones)
    ]
    assert deviation(biased, others) > 6
