"""Rotary positions as a table: for each position, the cosines and sines of its angles.

Position p turns the i-th pair of a head by the angle `p * frequency[i]`. All angles a model can
need are known before it runs, so they are computed once, and a step only looks rows up. "Rope
scaling" stretches a trained context by slowing some of the frequencies down; the recipes are
published with the checkpoints and transformers implements them, so they are taken from there.

"Dynamic" scaling turns slower the longer the sequence is. A key in the cache stays as it was
turned, so here a position is turned as in a sequence that ends with it: what transformers computes
for a sequence that grows token by token.

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
            type needs, under the names of a Hugging Face config. For "dynamic",
            `original_max_position_embeddings` is where the slowing down begins.
        max_positions: Number of rows; positions are `[0, max_positions)`.
    """
    with torch.device("cpu"):
        positions = torch.arange(max_positions, dtype=torch.float32)
        frequencies, attention_factor = _frequencies(head_dim, rope_parameters)
        angles = torch.outer(positions, frequencies)
        trained = rope_parameters.get("original_max_position_embeddings", max_positions)
        if rope_parameters["rope_type"] == "dynamic" and trained < max_positions:
            beyond = positions[trained:, None]
            angles[trained:] = beyond * _slowed(head_dim, rope_parameters, beyond + 1)
        return torch.cat((angles.cos(), angles.sin()), dim=-1) * attention_factor


def _frequencies(head_dim: int, rope_parameters: Mapping[str, Any]) -> tuple[Tensor, float]:
    """Return float32 `[head_dim / 2]` radians per position, and a factor on cosine and sine."""
    rope_type = rope_parameters["rope_type"]
    if rope_type in ("default", "dynamic"):
        return 1.0 / rope_parameters["rope_theta"] ** _exponents(head_dim), 1.0
    return _scaled_frequencies(head_dim, rope_parameters)


def _exponents(head_dim: int) -> Tensor:
    return torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim


def _slowed(head_dim: int, rope_parameters: Mapping[str, Any], lengths: Tensor) -> Tensor:
    """The frequencies of "dynamic" scaling for sequences of these lengths, float32 `[., pairs]`."""
    factor, trained = rope_parameters["factor"], rope_parameters["original_max_position_embeddings"]
    stretched = factor * lengths / trained - (factor - 1)
    # With one pair there is nothing to slow: it turns by 1 whatever the base.
    base = rope_parameters["rope_theta"] * stretched ** (head_dim / max(1, head_dim - 2))
    return 1.0 / base ** _exponents(head_dim)


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
