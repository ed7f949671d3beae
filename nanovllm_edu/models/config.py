"""`ModelConfig`: the shape of a decoder, in numbers, whichever family it comes from.

A Hugging Face `config.json` says the same things in several ways: fields were renamed over the
years, defaults differ by family, some switches are implied by the architecture's name. Here all of
that has been decided, and what this package cannot compute exactly has been refused.

Knows nothing of files (`registry.py` reads them) and nothing of tensors.

Read next: `qwen3.py`, which builds a model from one of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.layers.rotary import SUPPORTED_ROPE_TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def _plain_rope() -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10_000.0}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder's architecture and sizes.

    Attributes:
        architecture: The class that computes it, such as "Qwen3ForCausalLM".
        vocab_size: Number of token ids.
        hidden_size: Length of a token's vector in the residual stream.
        num_layers: Number of decoder layers.
        num_heads: Number of query heads per layer.
        num_kv_heads: Number of key and value heads; each serves `num_heads / num_kv_heads` queries.
        head_dim: Length of a head. `num_heads * head_dim` need not be `hidden_size`.
        intermediate_size: Width of the SwiGLU in the middle of the MLP.
        rms_norm_eps: Added to the mean square in every norm.
        rope_parameters: `rope_theta`, `rope_type` and what that type needs.
        max_position_embeddings: Number of positions within which the model is computed exactly.
        tie_word_embeddings: Whether the output matrix is the embedding matrix.
        qkv_bias: Whether query, key and value projections have a bias.
        o_bias: Whether the attention's output projection has a bias.
        mlp_bias: Whether the MLP's matrices have a bias.
        qk_norm: Whether each query and key head is normalised before its rotation.
        eos_token_ids: Tokens that end a text.
        dtype: The weights' dtype.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float = 1e-6
    rope_parameters: Mapping[str, Any] = field(default_factory=_plain_rope, hash=False)
    max_position_embeddings: int = 4096
    tie_word_embeddings: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    eos_token_ids: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ModelLoadError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.num_heads % self.num_kv_heads:
            raise ModelLoadError(
                f"num_heads is {self.num_heads}, which {self.num_kv_heads} key-value heads cannot "
                "share evenly; it must be a multiple of num_kv_heads."
            )
        if self.head_dim % 2:
            raise ModelLoadError(
                f"head_dim is {self.head_dim}; it must be even, since rotary positions turn pairs."
            )

    @classmethod
    def from_transformers(
        cls, source: "PreTrainedConfig", *, window: int | None = None, **family: bool
    ) -> "ModelConfig":
        """Read what all families share, and take from the caller what they do not.

        Args:
            source: A config object of transformers.
            window: The sliding attention window in tokens, if any layer has one. Inside it a
                windowed layer sees everything, so it becomes the limit on positions.
            **family: `qkv_bias`, `o_bias`, `mlp_bias` and `qk_norm`, where they are true.

        Raises:
            ModelLoadError: An activation, rope type or quantization that is not computed here.
        """
        _refuse_unsupported(source)
        positions = source.max_position_embeddings
        return cls(
            architecture=(source.architectures or [""])[0],
            vocab_size=source.vocab_size,
            hidden_size=source.hidden_size,
            num_layers=source.num_hidden_layers,
            num_heads=source.num_attention_heads,
            num_kv_heads=source.num_key_value_heads,
            head_dim=getattr(source, "head_dim", None)
            or source.hidden_size // source.num_attention_heads,
            intermediate_size=source.intermediate_size,
            rms_norm_eps=source.rms_norm_eps,
            rope_parameters=_rope_parameters(source),
            max_position_embeddings=positions if window is None else min(positions, window),
            tie_word_embeddings=source.tie_word_embeddings,
            eos_token_ids=as_token_ids(source.eos_token_id),
            dtype=source.dtype if isinstance(source.dtype, torch.dtype) else torch.float32,
            **family,
        )


_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
)


def as_token_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """Read a config's "one token id, several, or none"."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _refuse_unsupported(source: "PreTrainedConfig") -> None:
    """Raise for what would load but be computed wrongly."""
    if source.hidden_act != "silu":
        raise ModelLoadError(
            f"hidden_act is {source.hidden_act!r}; only 'silu' is computed here. "
            "Choose a model with a SwiGLU MLP."
        )
    if getattr(source, "quantization_config", None) is not None:
        raise ModelLoadError(
            "config.json has a quantization_config; only plain float weights are read. "
            "Choose the unquantized version of this model."
        )
    rope = source.rope_parameters
    if rope["rope_type"] not in SUPPORTED_ROPE_TYPES:
        raise ModelLoadError(
            f"rope_type is {rope['rope_type']!r}; supported are {', '.join(SUPPORTED_ROPE_TYPES)}. "
            "Choose a model that scales its positions in one of these ways."
        )
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelLoadError(
            f"partial_rotary_factor is {rope['partial_rotary_factor']}; only 1.0 is computed here. "
            "Choose a model that rotates whole heads."
        )


def _rope_parameters(source: "PreTrainedConfig") -> dict[str, Any]:
    """Copy the parameters, with yarn's factor written out where the config leaves it implied."""
    rope = dict(source.rope_parameters)
    if rope["rope_type"] == "yarn" and rope["factor"] is None:
        trained = rope["original_max_position_embeddings"]
        rope["factor"] = source.max_position_embeddings / trained
    return rope
