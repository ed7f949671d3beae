"""The rotary table, and the published ways to stretch it."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from nanovllm_edu.layers.rotary import SUPPORTED_ROPE_TYPES, rotary_table

_PLAIN = {"rope_type": "default", "rope_theta": 10_000.0}
_TRAINED = {"original_max_position_embeddings": 64}
_BOUNDS = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_OPTIONS = {
    "default": {},
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "llama3": {"factor": 2.0, **_BOUNDS, **_TRAINED},
    "yarn": {"factor": 2.0, **_TRAINED},
}


def test_a_row_holds_cosines_then_sines() -> None:
    table = rotary_table(4, _PLAIN, 3)
    angles = torch.tensor([2.0, 2.0 / 100])
    assert table.dtype == torch.float32
    torch.testing.assert_close(table[0], torch.tensor([1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(table[2], torch.cat((angles.cos(), angles.sin())))


def test_linear_scaling_makes_every_step_smaller() -> None:
    scaled = rotary_table(8, _PLAIN | {"rope_type": "linear", "factor": 4.0}, 9)
    torch.testing.assert_close(scaled[8], rotary_table(8, _PLAIN, 9)[2])


def test_dynamic_scaling_changes_nothing_within_the_trained_context() -> None:
    scaled = rotary_table(8, _PLAIN | {"rope_type": "dynamic", "factor": 4.0}, 9)
    assert torch.equal(scaled, rotary_table(8, _PLAIN, 9))


def test_case_10_dynamic_scaling_turns_as_transformers_does_at_each_length() -> None:
    rope = {**_PLAIN, "rope_type": "dynamic", "factor": 4.0}
    table = rotary_table(8, rope | {"original_max_position_embeddings": 5}, 20)
    config = LlamaConfig(
        hidden_size=8,
        num_attention_heads=1,
        head_dim=8,
        max_position_embeddings=5,
        rope_parameters=dict(rope),
    )
    for position in range(20):
        frequencies, _ = ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=position + 1)
        angles = position * frequencies
        torch.testing.assert_close(table[position], torch.cat((angles.cos(), angles.sin())))


def test_llama3_keeps_fast_turns_and_slows_slow_ones() -> None:
    rope = {**_PLAIN, "rope_type": "llama3", "factor": 8.0, **_BOUNDS, **_TRAINED}
    scaled, plain = rotary_table(16, rope, 9), rotary_table(16, _PLAIN, 9)
    assert torch.equal(scaled[:, 0], plain[:, 0])
    torch.testing.assert_close(scaled[8, 7], plain[1, 7])


def test_yarn_scales_the_table_by_its_attention_factor() -> None:
    rope = {**_PLAIN, "rope_type": "yarn", "factor": 4.0, **_TRAINED}
    scaled = rotary_table(16, rope | {"attention_factor": 0.5}, 9)
    unscaled = rotary_table(16, rope | {"attention_factor": 1.0}, 9)
    torch.testing.assert_close(scaled, unscaled * 0.5)


@pytest.mark.parametrize("rope_type", SUPPORTED_ROPE_TYPES)
def test_the_table_is_made_on_the_cpu_whatever_the_current_device(rope_type, caplog) -> None:
    with torch.device("meta"):
        table = rotary_table(8, {**_PLAIN, "rope_type": rope_type, **_OPTIONS[rope_type]}, 4)
    assert table.device.type == "cpu"
    assert not caplog.records
