"""Rotary positions as a table: for each position, the cosines and sines of its angles.

Position p turns the i-th pair of a head by the angle `p * frequency[i]`. All angles a model can
need are known before it runs, so they are computed once, and a step only looks rows up. "Rope
scaling" stretches a trained context by slowing some of the frequencies down; the recipes are
published with the checkpoints and transformers implements them, so they are taken from there.

Knows nothing of queries and keys: `Ops.qk_norm_rope` does the turning.

Read next: `embedding.py`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

SUPPORTED_ROPE_TYPES = ("default", "linear", "dynamic", "llama3", "yarn")


def rotary_table(
    head_dim: int, rope_parameters: Mapping[str, Any], max_positions: int
) -> Float[Tensor, "max_positions head_dim"]:
    """Tabulate `cos(angles)` and `sin(angles)` side by side, in float32 on the CPU.

    The CPU computes it whatever the model's device, so that every device turns by the same numbers.

    Args:
        head_dim: Length of a head; half as many frequencies.
        rope_parameters: `rope_theta`, `rope_type` (one of `SUPPORTED_ROPE_TYPES`) and what that
            type needs, under the names of a Hugging Face config.
        max_positions: Number of rows; positions are `[0, max_positions)`.
    """
    with torch.device("cpu"):
        frequencies, attention_factor = _frequencies(head_dim, rope_parameters)
        angles = torch.outer(torch.arange(max_positions, dtype=torch.float32), frequencies)
        return torch.cat((angles.cos(), angles.sin()), dim=-1) * attention_factor


def _frequencies(head_dim: int, rope_parameters: Mapping[str, Any]) -> tuple[Tensor, float]:
    """Return float32 `[head_dim / 2]` radians per position, and a factor on cosine and sine."""
    rope_type = rope_parameters["rope_type"]
    # "dynamic" changes its frequencies only beyond the trained context, which the engine never
    # enters: keys already in the cache would have been turned by other frequencies.
    if rope_type in ("default", "dynamic"):
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        return 1.0 / rope_parameters["rope_theta"] ** exponents, 1.0
    return _scaled_frequencies(head_dim, rope_parameters)


def _scaled_frequencies(head_dim: int, rope_parameters: Mapping[str, Any]) -> tuple[Tensor, float]:
    """Ask transformers, whose recipes want a config object: one that has heads and no model."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    trained_positions = rope_parameters.get("original_max_position_embeddings", 2048)
    config = LlamaConfig(
        hidden_size=head_dim,
        num_attention_heads=1,
        head_dim=head_dim,
        rope_parameters=dict(rope_parameters),
        # Not used by the recipes, but transformers warns unless it is the stretched context.
        max_position_embeddings=round(trained_positions * rope_parameters["factor"]),
    )
    return ROPE_INIT_FUNCTIONS[rope_parameters["rope_type"]](config, torch.device("cpu"))
