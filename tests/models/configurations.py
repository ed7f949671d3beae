"""Random models of every supported family and shape, as Hugging Face saves them.

Weights are drawn wide and nothing is left at its initial 0 or 1, so that a forgotten bias, norm or
rotation changes the logits by far more than rounding does.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

_SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}
_LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}


@dataclass(frozen=True)
class Configuration:
    """One random model: its family, what differs from `_SMALL`, and how it is cut into files."""

    family: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    shard_size: str = "1GB"

    def __str__(self) -> str:
        return f"{self.family}-{self.name}"

    def transformers_config(self) -> PreTrainedConfig:
        """Build the config object of transformers."""
        options = {**_SMALL, **self.changes}
        if options["head_dim"] is None:
            del options["head_dim"]  # Qwen2 has no such option; it follows from the other sizes
        return AutoConfig.for_model(self.family, **options)

    def save(self, folder: Path, seed: int = 0) -> PreTrainedModel:
        """Save the model in float32 and return it, ready to be compared with."""
        model = AutoModelForCausalLM.from_config(self.transformers_config(), dtype=torch.float32)
        _randomize(model, seed)
        model.save_pretrained(folder, max_shard_size=self.shard_size)
        return model.eval()


def _randomize(model: PreTrainedModel, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name
            parameter.normal_(1.0 if is_norm else 0.0, 0.3, generator=generator)


def _heads(num_heads: int, num_kv_heads: int, head_dim: int = 16) -> dict[str, int]:
    return {
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "head_dim": head_dim,
    }


CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("qwen3", "plain"),
    Configuration("qwen3", "tied", {"tie_word_embeddings": True}),
    Configuration("qwen3", "multi_head", _heads(4, 4)),
    Configuration("qwen3", "multi_query", _heads(4, 1)),
    Configuration("qwen3", "wide_heads", _heads(8, 2, 64)),
    Configuration("qwen3", "three_to_one", _heads(6, 2, 8)),
    Configuration("qwen3", "attention_bias", {"attention_bias": True}),
    Configuration("qwen3", "odd_vocab", {"vocab_size": 131}),
    Configuration("qwen3", "one_layer", {"num_hidden_layers": 1}),
    Configuration("qwen3", "five_layers", {"num_hidden_layers": 5}),
    Configuration("qwen3", "large_eps", {"rms_norm_eps": 1e-2}),
    Configuration(
        "qwen3",
        "large_theta",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}},
    ),
    Configuration("qwen3", "yarn", {"rope_parameters": _YARN}),
    Configuration("qwen3", "linear", {"rope_parameters": _LINEAR, "tie_word_embeddings": True}),
    Configuration("qwen3", "dynamic", {"rope_parameters": _DYNAMIC}),
    Configuration("qwen3", "sharded", shard_size="20KB"),
    Configuration("qwen3", "sharded_tied", {"tie_word_embeddings": True}, shard_size="10KB"),
    Configuration(
        "qwen3",
        "sliding_window",
        {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
    ),
    Configuration("llama", "plain"),
    Configuration("llama", "tied", {"tie_word_embeddings": True}),
    Configuration("llama", "multi_head", _heads(4, 4, 8)),
    Configuration("llama", "multi_query", _heads(8, 1, 8)),
    Configuration("llama", "attention_bias", {"attention_bias": True}),
    Configuration("llama", "mlp_bias", {"mlp_bias": True}),
    Configuration("llama", "all_biases_sharded", {"attention_bias": True, "mlp_bias": True}, "9KB"),
    Configuration("llama", "llama3_rope", {"rope_parameters": _LLAMA3}),
    Configuration(
        "llama",
        "llama3_rope_tied",
        {"rope_parameters": _LLAMA3 | {"factor": 32.0}, "tie_word_embeddings": True},
    ),
    Configuration("llama", "linear", {"rope_parameters": _LINEAR}),
    Configuration("llama", "dynamic", {"rope_parameters": _DYNAMIC}),
    Configuration(
        "llama", "yarn_attention_factor", {"rope_parameters": _YARN | {"attention_factor": 0.7}}
    ),
    Configuration(
        "llama", "yarn_betas", {"rope_parameters": _YARN | {"beta_fast": 8.0, "beta_slow": 2.0}}
    ),
    Configuration("llama", "odd_vocab", {"vocab_size": 211, "hidden_size": 20}),
    Configuration("qwen2", "plain", _heads(4, 2, 8)),
    Configuration("qwen2", "tied", {"tie_word_embeddings": True}),
    Configuration("qwen2", "multi_query", _heads(4, 1, 8)),
    Configuration("qwen2", "yarn", {"rope_parameters": _YARN}),
    Configuration("qwen2", "sharded", {"tie_word_embeddings": True}, shard_size="8KB"),
    Configuration("qwen2", "implied_head_dim", {"head_dim": None}),
    Configuration("mistral", "plain", {"sliding_window": None}),
    Configuration("mistral", "sliding_window", {"sliding_window": 60}),
    Configuration("mistral", "wide_heads", {"sliding_window": None, **_heads(2, 1, 32)}),
    Configuration("mistral", "tied", {"tie_word_embeddings": True, "sliding_window": None}),
    Configuration(
        "mistral",
        "yarn_mscale",
        {"rope_parameters": _YARN | {"mscale": 1.0, "mscale_all_dim": 0.8}, "sliding_window": None},
    ),
    Configuration(
        "mistral", "sharded_odd_vocab", {"vocab_size": 133, "sliding_window": None}, "10KB"
    ),
)
