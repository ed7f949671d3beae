"""The shapes of well-known models, for random weights: speed does not depend on their values."""

from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.llama import LlamaForCausalLM, Qwen2ForCausalLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM

ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0}


def qwen3(hidden: int, layers: int, heads: int, inner: int, is_tied: bool = True) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=151_936,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=inner,
        max_position_embeddings=40_960,
        tie_word_embeddings=is_tied,
        rope_parameters=ROPE,
        dtype="bfloat16",
        architectures=["Qwen3ForCausalLM"],
    )


def llama_1b() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        intermediate_size=8192,
        max_position_embeddings=131_072,
        tie_word_embeddings=True,
        rope_parameters=ROPE,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )


def qwen2_1b() -> Qwen2Config:
    """No choice was ever tuned on this one."""
    return Qwen2Config(
        vocab_size=151_936,
        hidden_size=1536,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        intermediate_size=8960,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        rope_parameters=ROPE,
        dtype="bfloat16",
        architectures=["Qwen2ForCausalLM"],
    )


SOURCES = {
    "qwen3-0.6b": lambda: qwen3(1024, 28, 16, 3072),
    "qwen3-4b": lambda: qwen3(2560, 36, 32, 9728),
    "qwen3-8b": lambda: qwen3(4096, 36, 32, 12_288, is_tied=False),
    "llama-3.2-1b": llama_1b,
    "qwen2.5-1.5b": qwen2_1b,
}


def shape(name: str) -> ModelConfig:
    """What this package knows of a shape."""
    readers = {"qwen3": Qwen3ForCausalLM, "llama": LlamaForCausalLM, "qwen2.5": Qwen2ForCausalLM}
    return readers[name.partition("-")[0]].read_config(SOURCES[name]())
