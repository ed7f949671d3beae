"""What is read from a config, and what is refused because it would be computed wrongly."""

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.config import ModelConfig, as_token_ids
from nanovllm_edu.models.llama import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM

_SIZES = {
    "architecture": "LlamaForCausalLM",
    "vocab_size": 10,
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 4,
    "intermediate_size": 8,
}


def _read(family, source):
    source.architectures = [family.__name__]
    return family.read_config(source)


def test_qwen3_switches_qk_norm_on_and_biases_as_told() -> None:
    config = _read(Qwen3ForCausalLM, Qwen3Config(attention_bias=True, head_dim=96))
    assert (config.qk_norm, config.qkv_bias, config.o_bias, config.mlp_bias) == (1, 1, 1, 0)
    assert (config.head_dim, config.num_heads * config.head_dim) == (96, 3072)


def test_qwen2_has_input_biases_only() -> None:
    config = _read(Qwen2ForCausalLM, Qwen2Config())
    assert (config.qk_norm, config.qkv_bias, config.o_bias, config.mlp_bias) == (0, 1, 0, 0)


def test_llama_biases_follow_the_config() -> None:
    config = _read(LlamaForCausalLM, LlamaConfig(attention_bias=True, mlp_bias=True))
    assert (config.qk_norm, config.qkv_bias, config.o_bias, config.mlp_bias) == (0, 1, 1, 1)


def test_a_window_limits_the_positions_only_where_a_layer_uses_it() -> None:
    mistral = MistralConfig(sliding_window=64, max_position_embeddings=1000)
    unused = Qwen2Config(sliding_window=64, max_position_embeddings=1000)
    used = Qwen2Config(
        sliding_window=64, use_sliding_window=True, max_window_layers=2, num_hidden_layers=3
    )
    assert _read(MistralForCausalLM, mistral).max_position_embeddings == 64
    assert _read(Qwen2ForCausalLM, unused).max_position_embeddings == 1000
    assert _read(Qwen2ForCausalLM, used).max_position_embeddings == 64


def test_dtype_is_the_checkpoints_or_float32() -> None:
    assert _read(LlamaForCausalLM, LlamaConfig(dtype="bfloat16")).dtype == torch.bfloat16
    assert _read(LlamaForCausalLM, LlamaConfig()).dtype == torch.float32


def test_yarn_factor_is_filled_in_from_the_two_context_lengths() -> None:
    rope = {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 512}
    source = LlamaConfig(max_position_embeddings=2048, rope_parameters=rope)
    assert _read(LlamaForCausalLM, source).rope_parameters["factor"] == 4.0


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ()), (0, (0,)), (5, (5,)), ([5, 6], (5, 6))]
)
def test_token_ids_are_one_several_or_none(value, expected) -> None:
    assert as_token_ids(value) == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "gelu"}, ["hidden_act", "'gelu'", "'silu'", "Choose"]),
        (
            {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
            ["rope_type", "'longrope'", "llama3", "Choose"],
        ),
        (
            {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            ["partial_rotary_factor", "0.5", "1.0", "Choose"],
        ),
        ({"quantization_config": {"quant_method": "gptq"}}, ["quantization_config", "Choose"]),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(changes, words) -> None:
    source = Qwen3Config()
    for name, value in changes.items():
        if name == "rope_parameters":
            value = {"rope_type": "default", **value}
        setattr(source, name, value)
    with pytest.raises(ModelLoadError) as caught:
        _read(Qwen3ForCausalLM, source)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_layers": 0}, ["num_layers is 0", "at least 1"]),
        ({"num_kv_heads": 3}, ["num_heads is 4", "3 key-value heads", "multiple"]),
        ({"head_dim": 5}, ["head_dim is 5", "even"]),
    ],
)
def test_impossible_sizes_are_refused(changes, words) -> None:
    with pytest.raises(ModelLoadError) as caught:
        ModelConfig(**{**_SIZES, **changes})
    for word in words:
        assert word in str(caught.value)


def test_a_config_can_be_a_key() -> None:
    assert len({ModelConfig(**_SIZES), ModelConfig(**_SIZES)}) == 1


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        ({"rope_type": "default"}, 40),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, 128),
        ({"rope_type": "yarn", "factor": 1.5, "original_max_position_embeddings": 33}, 49),
        ({"rope_type": "linear", "factor": 4.0}, 160),
        ({"rope_type": "dynamic", "factor": 2.5}, 100),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            40,
        ),
    ],
)
def test_case_10_lengths_are_stretched_as_vllm_derives_them(rope, expected) -> None:
    source = Qwen3Config(max_position_embeddings=40, rope_parameters={"rope_theta": 1e4, **rope})
    assert _read(Qwen3ForCausalLM, source).max_position_embeddings == expected
