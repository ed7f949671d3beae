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

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.errors import ModelLoadError, shown
from nanovllm_edu.models.rope import num_positions, rope_parameters

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
        for name, end in _SIZES.items():
            check_size(name, getattr(self, name), end)
        if self.num_heads % self.num_kv_heads:
            raise ModelLoadError(
                f"num_heads is {self.num_heads}, which {self.num_kv_heads} key-value heads cannot "
                "share evenly; it must be a multiple of num_kv_heads."
            )
        if self.head_dim % 2:
            raise ModelLoadError(
                f"head_dim is {self.head_dim}; it must be even, since rotary positions turn pairs."
            )

    @property
    def num_parameters(self) -> int:
        """How many weights there are, but for norms and biases."""
        heads = self.num_heads + self.num_kv_heads
        layer = 2 * heads * self.head_dim + 3 * self.intermediate_size
        embeddings = (1 if self.tie_word_embeddings else 2) * self.vocab_size
        return self.hidden_size * (self.num_layers * layer + embeddings)

    @classmethod
    def from_transformers(
        cls,
        architecture: str,
        source: "PreTrainedConfig",
        *,
        window: int | None = None,
        **family: bool,
    ) -> "ModelConfig":
        """Read what all families share, and take from the caller what they do not.

        Args:
            architecture: The class that computes it.
            source: A config object of transformers.
            window: The sliding attention window in tokens, if any layer has one. Inside it a
                windowed layer sees everything, so it becomes the limit on positions.
            **family: `qkv_bias`, `o_bias`, `mlp_bias` and `qk_norm`, where they are true.

        Raises:
            ModelLoadError: An activation, rope type or quantization that is not computed here, or
                numbers that make no sense.
        """
        _refuse_unsupported(source)
        rope = rope_parameters(source)
        positions = num_positions(source, rope)
        return cls(
            architecture=architecture,
            vocab_size=source.vocab_size,
            hidden_size=source.hidden_size,
            num_layers=source.num_hidden_layers,
            num_heads=source.num_attention_heads,
            num_kv_heads=source.num_key_value_heads,
            head_dim=getattr(source, "head_dim", None)
            or source.hidden_size // source.num_attention_heads,
            intermediate_size=source.intermediate_size,
            rms_norm_eps=source.rms_norm_eps,
            rope_parameters=rope,
            max_position_embeddings=positions if window is None else min(positions, window),
            tie_word_embeddings=source.tie_word_embeddings,
            eos_token_ids=as_token_ids(source.eos_token_id),
            dtype=source.dtype if isinstance(source.dtype, torch.dtype) else torch.float32,
            **family,
        )


_SIZES = {
    "vocab_size": 2**31,
    "hidden_size": 2**24,
    "num_layers": 10_000,
    "num_heads": 2**16,
    "num_kv_heads": 2**16,
    "head_dim": 2**16,
    "intermediate_size": 2**24,
    "max_position_embeddings": 2**31,
}
"""Every size of a model, and a number that it stays below in any model that can be computed."""


def check_size(name: str, value: Any, end: int) -> None:
    """Refuses a size that no model has.

    Raises:
        ModelLoadError: It is no integer, or not in [1, end).
    """
    size = as_integer(value)
    if size is None or size < 1:
        raise ModelLoadError(f"{name} is {shown(value)}; it must be an integer, at least 1.")
    if size >= end:
        raise ModelLoadError(
            f"{name} is {shown(value)}; it must be below {end}. Download config.json again."
        )


def as_token_ids(value: Any) -> tuple[int, ...]:
    """Read a config's "one token id, several, or none".

    Raises:
        ValueError: It is something else, such as a token's text.
    """
    if value is None:
        return ()
    token_ids = [as_integer(i) for i in (value if isinstance(value, (list, tuple)) else [value])]
    right = tuple(i for i in token_ids if i is not None and i >= 0)
    if len(right) < len(token_ids):
        raise ValueError(
            f"eos_token_id is {shown(value)}, which is no token id, nor a list of them"
        )
    return right


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
