"""Every stage equals its reference, survives extremes, and never drops the likeliest token."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nanovllm_edu.sampling import stages
from tests.sampling import reference

LOGITS = st.lists(st.integers(-40, 40).map(lambda n: n / 4), min_size=2, max_size=12)
INF = math.inf


def one_row(stage, logits: list[float], *options: float) -> list[float]:
    tensors = [torch.tensor([option]) for option in options]
    return stage(torch.tensor([logits]), *tensors)[0].tolist()


@given(LOGITS, st.integers(0, 15))
@settings(deadline=None)
def test_top_k_equals_its_reference(logits: list[float], k: int):
    assert one_row(stages.apply_top_k, logits, k) == reference.top_k(logits, k)


@given(LOGITS, st.sampled_from([1e-9, 0.013, 0.31, 0.57, 0.83, 0.971]))
@settings(deadline=None)
def test_top_p_equals_its_reference(logits: list[float], p: float):
    assert one_row(stages.apply_top_p, logits, p) == reference.top_p(logits, p)


@given(LOGITS, st.sampled_from([0.0, 1e-6, 0.013, 0.11, 0.57, 1.0]))
@settings(deadline=None)
def test_min_p_equals_its_reference(logits: list[float], ratio: float):
    assert one_row(stages.apply_min_p, logits, ratio) == reference.min_p(logits, ratio)


@given(LOGITS, st.integers(1, 12), st.sampled_from([0.013, 0.31, 0.57, 0.83]))
@settings(deadline=None)
def test_top_p_among_the_likeliest_few_equals_a_full_sort(logits: list[float], k: int, p: float):
    limited = stages.apply_top_k(torch.tensor([logits]), torch.tensor([k]))
    full = stages.apply_top_p(limited, torch.tensor([p]))
    assert torch.equal(stages.apply_top_p(limited, torch.tensor([p]), k), full)


def test_rows_have_options_of_their_own():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    top_k, top_p = torch.tensor([1, 0, 3, 50, 99, 7]), torch.tensor([0.5, 1, 0.1, 0.9, 0.99, 1e-9])
    for stage, options in ((stages.apply_top_k, top_k), (stages.apply_top_p, top_p)):
        together = stage(logits, options)
        for row in range(6):
            assert torch.equal(together[row], stage(logits[row : row + 1], options[row, None])[0])


@given(
    st.lists(st.integers(0, 7), max_size=6),
    st.lists(st.integers(0, 7), max_size=6),
    st.sampled_from([0.5, 1.0, 1.3]),
    st.sampled_from([-0.5, 0.0, 1.5]),
    st.sampled_from([-0.5, 0.0, 0.75]),
)
@settings(deadline=None)
def test_penalties_equal_their_reference(prompt, output, repetition, presence, frequency):
    logits = [2.0, -1.0, 0.0, 0.5, -0.25, 3.0, 1.0, -4.0]
    row = torch.tensor([[*prompt, *output, 5]])  # the last one lies past the end: ignored
    column = torch.arange(row.shape[1])
    is_prompt = (column < len(prompt))[None]
    is_output = (column < len(prompt) + len(output))[None] & ~is_prompt
    in_prompt = stages.token_counts(row, is_prompt, 8)
    in_output = stages.token_counts(row, is_output, 8)
    result = stages.apply_repetition_penalty(
        torch.tensor([logits]), torch.tensor([repetition]), (in_prompt + in_output) > 0
    )
    result = stages.apply_frequency_penalty(result, torch.tensor([frequency]), in_output)
    result = stages.apply_presence_penalty(result, torch.tensor([presence]), in_output)
    expected = reference.penalties(logits, prompt, output, repetition, presence, frequency)
    torch.testing.assert_close(result[0], torch.tensor(expected))


def test_temperature_leaves_the_softmax_of_the_scaled_logits():
    logits, temperature = torch.tensor([[1.0, 2.0, -3.0]]), torch.tensor([0.7])
    result = stages.apply_temperature(logits, temperature)
    torch.testing.assert_close(result.softmax(1), (logits / 0.7).softmax(1))


EXTREME_LOGITS = (
    [0.0, 0.0, 0.0, 0.0],
    [-INF, 1.0, -INF, 2.0],
    [-INF, -INF, 0.0, -INF],
    [1e30, -1e30, 1e30, 0.0],
    [3e4, 3e4, 2.9e4, -3e4],
)
EXTREME_STAGES = (
    (stages.apply_temperature, (1e-5, 1e-30, 1e5)),
    (stages.apply_min_p, (0.0, 1e-30, 1.0)),
    (stages.apply_top_k, (0, 1, 4, 10**6)),
    (stages.apply_top_p, (1e-30, 1e-9, 1 - 1e-7, 1.0)),
)


@pytest.mark.parametrize("logits", EXTREME_LOGITS, ids=str)
@pytest.mark.parametrize(("stage", "options"), EXTREME_STAGES, ids=lambda part: str(part)[:24])
def test_extremes_give_no_nan_and_keep_the_likeliest(stage, options, logits: list[float]):
    likeliest: Tensor = torch.tensor(logits) == max(logits)
    for option in options:
        result = torch.tensor(one_row(stage, logits, option))
        assert not result.isnan().any()
        assert result[likeliest].isfinite().all()
        assert not result.softmax(0).isnan().any()


def test_no_stage_changes_its_input():
    logits = torch.randn(2, 9)
    before = logits.clone()
    stages.apply_temperature(logits, torch.tensor([0.5, 2.0]))
    stages.apply_min_p(logits, torch.tensor([0.5, 0.0]))
    stages.apply_top_k(logits, torch.tensor([1, 2]))
    stages.apply_top_p(logits, torch.tensor([0.5, 0.2]))
    assert torch.equal(logits, before)
