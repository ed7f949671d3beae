"""What the host sends before a replay: nothing, unless the device cannot know it."""

import pytest
import torch

from nanovllm_edu import SamplingParams
from nanovllm_edu.core.plan import BlockUpdate, Joined, SamplingUpdate, Span, Spans, StepPlan
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.graph_inputs import GraphInputs

WARM, HOT = SamplingParams(temperature=0.5), SamplingParams(temperature=2.0, top_k=3, top_p=0.5)


@pytest.fixture
def inputs(monkeypatch):
    """Inputs of two sequences that note which rows are sent, on a machine without a GPU."""
    tables = DeviceTables.allocate(4, 64, 8, 0, torch.device("cpu"))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    tables.take_in(StepPlan(0, joined=tuple(Joined(i, i, (), 2, WARM, i - 1) for i in range(2))))
    made = GraphInputs(tables)
    made.sent = []
    send = made._send_rows

    def noted(rows, lengths):
        made.sent.append(list(rows))
        send(rows, lengths)

    monkeypatch.setattr(made, "_send_rows", noted)
    return made


def decode(starts):
    return Spans(Span(i + 10, i, start, 1) for i, start in starts.items())


def test_the_same_sequences_one_token_on_need_nothing(inputs):
    inputs.update(decode({0: 5, 1: 9}))
    inputs.update(decode({0: 6, 1: 10}))
    assert len(inputs.sent) == 1


def test_the_longest_comes_first_and_stays_first(inputs):
    assert list(inputs.update(decode({0: 5, 1: 9}))) == [11, 10]
    assert inputs.order == [1, 0]
    assert list(inputs.update(decode({0: 6, 1: 10}))) == [11, 10]


@pytest.mark.parametrize(
    "then", [decode({0: 6}), decode({0: 6, 1: 3})], ids=["another set", "another length"]
)
def test_other_sequences_are_sent(inputs, then):
    inputs.update(decode({0: 5, 1: 9}))
    inputs.update(then)
    assert len(inputs.sent) == 2


def test_a_new_block_alone_goes_into_the_table_without_the_rows(inputs):
    inputs.update(decode({0: 7, 1: 9}))
    spans = decode({0: 8, 1: 10})
    inputs._tables.take_in(StepPlan(1, spans, block_updates=(BlockUpdate(0, 0, 1, (6,)),)))
    inputs.update(spans)
    assert len(inputs.sent) == 1
    assert inputs.tensors.block_tables[0, :2].tolist() == [0, 6]


def test_after_another_path_everything_is_sent(inputs):
    inputs.update(decode({0: 5}))
    inputs.forget()
    inputs.update(decode({0: 6}))
    assert len(inputs.sent) == 2


def test_rows_hold_what_joined_said_and_the_rest_is_padding(inputs):
    inputs._tables.take_in(StepPlan(1, sampling_updates=(SamplingUpdate(11, 1, HOT),)))
    inputs.update(decode({0: 5, 1: 9}))
    tensors = inputs.tensors
    assert tensors.table_rows.tolist() == [1, 0, 4, 4]
    assert tensors.context_lens.tolist() == [10, 6, 1, 1]
    assert tensors.advances.tolist() == [1, 1, 0, 0]
    assert tensors.seeds.tolist() == [0, -1, 0, 0]
    assert tensors.temperatures.tolist() == [2.0, 0.5, 0.0, 0.0]
    assert tensors.top_ks.tolist() == [3, 0, 0, 0]
    assert tensors.top_ps.tolist() == [0.5, 1.0, 1.0, 1.0]
    inputs.clear()
    assert tensors.table_rows.tolist() == [4] * 4
    assert tensors.advances.tolist() == [0] * 4
