"""What the host sends before a replay: nothing, unless the device cannot know it."""

import pytest
import torch

from nanovllm_edu import SamplingParams
from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.graph_inputs import GraphInputs

WARM, HOT = SamplingParams(temperature=0.5), SamplingParams(temperature=2.0)


@pytest.fixture
def inputs(monkeypatch):
    """Inputs that note which rows are sent instead of sending them."""
    made = GraphInputs(DeviceTables.allocate(4, 64, 8, 0, torch.device("cpu")))
    made.sent = []
    monkeypatch.setattr(made, "_send_rows", lambda chunks: made.sent.append(list(chunks)))
    return made


def decode(starts, params=WARM):
    chunks = (Chunk(i, i, start, 1, (), 0, (), True, params, i, 2) for i, start in starts.items())
    return StepPlan(0, tuple(chunks), (), None, ())


def test_the_same_sequences_one_token_on_need_nothing(inputs):
    inputs.update(decode({0: 5, 1: 9}))
    inputs.update(decode({0: 6, 1: 10}))
    assert len(inputs.sent) == 1


def test_the_longest_comes_first_and_stays_first(inputs):
    assert [c.seq_id for c in inputs.update(decode({0: 5, 1: 9}))] == [1, 0]
    assert [c.seq_id for c in inputs.update(decode({0: 6, 1: 10}))] == [1, 0]


@pytest.mark.parametrize("then", [decode({0: 6}), decode({0: 6, 1: 10}, HOT), decode({0: 6, 1: 3})])
def test_other_sequences_or_parameters_are_sent(inputs, then):
    inputs.update(decode({0: 5, 1: 9}))
    inputs.update(then)
    assert len(inputs.sent) == 2


def test_after_another_path_everything_is_sent(inputs):
    inputs.update(decode({0: 5}))
    inputs.forget()
    inputs.update(decode({0: 6}))
    assert len(inputs.sent) == 2
