"""Llama, Mistral and Qwen2: the decoder of `qwen3.py` with some of its parts left out.

History ran the other way round, but Qwen3 has everything its elders have, so they are told here by
what their configs switch on:

    family    QK-norm   bias on q, k, v    bias on o          bias in the MLP   sliding window
    Llama     no        `attention_bias`   `attention_bias`   `mlp_bias`        no
    Mistral   no        no                 no                 no                all layers
    Qwen2     no        yes                no                 no                some layers, rarely
    Qwen3     yes       `attention_bias`   `attention_bias`   no                some layers, rarely

A sliding window hides keys that are too far back. Until a sequence is longer than the window it
hides nothing, and that is how far this package goes: the window becomes the limit on positions.

Read next: `registry.py`, which finds the class for a checkpoint.
"""

from typing import TYPE_CHECKING

from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM, layer_window

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class LlamaForCausalLM(Qwen3ForCausalLM):
    """Llama 2 and 3 (Touvron et al., 2023; Llama Team, 2024), and what shares their config."""

    @staticmethod
    def read_config(source: "PreTrainedConfig") -> ModelConfig:
        """Translate a Hugging Face config of this family."""
        return ModelConfig.from_transformers(
            "LlamaForCausalLM",
            source,
            qkv_bias=source.attention_bias,
            o_bias=source.attention_bias,
            mlp_bias=source.mlp_bias,
        )


class MistralForCausalLM(Qwen3ForCausalLM):
    """Mistral 7B and its successors of the same architecture (Jiang et al., 2023)."""

    @staticmethod
    def read_config(source: "PreTrainedConfig") -> ModelConfig:
        """Translate a Hugging Face config of this family."""
        return ModelConfig.from_transformers(
            "MistralForCausalLM", source, window=source.sliding_window
        )


class Qwen2ForCausalLM(Qwen3ForCausalLM):
    """Qwen2 and Qwen2.5 (Qwen Team, 2024)."""

    @staticmethod
    def read_config(source: "PreTrainedConfig") -> ModelConfig:
        """Translate a Hugging Face config of this family."""
        return ModelConfig.from_transformers(
            "Qwen2ForCausalLM", source, window=layer_window(source), qkv_bias=True
        )
