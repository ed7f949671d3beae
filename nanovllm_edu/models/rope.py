"""What a config says about positions: how fast they turn, and how many there are.

A model is trained on so many positions. "Rope scaling" stretches them, and configs count in two
ways: for linear, dynamic and yarn scaling the stretched length is the trained one times the factor;
for llama3 `max_position_embeddings` is the stretched length already. vLLM counts the same.

Knows nothing of tensors: `layers/rotary.py` computes the angles. Read next: `config.py`.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nanovllm_edu.errors import ModelLoadError, shown
from nanovllm_edu.layers.rotary import SUPPORTED_ROPE_TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

TRAINED = "original_max_position_embeddings"
_ABOVE_ZERO = ("rope_theta", "factor", TRAINED, "attention_factor", "beta_fast", "beta_slow")
_NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", TRAINED),
    "llama3": ("factor", TRAINED, "low_freq_factor", "high_freq_factor"),
}


def rope_parameters(source: "PreTrainedConfig") -> dict[str, Any]:
    """The parameters of a config, checked, with what it leaves implied written out.

    Raises:
        ModelLoadError: A way of scaling that is not computed here, or a number that makes no sense.
    """
    rope = dict(source.rope_parameters)
    _refuse_unsupported(rope)
    if rope["rope_type"] == "dynamic":
        rope[TRAINED] = source.max_position_embeddings
    if rope["rope_type"] == "yarn" and rope.get("factor") is None and TRAINED in rope:
        rope["factor"] = source.max_position_embeddings / rope[TRAINED]
    for name in _NEEDED.get(rope["rope_type"], ()):
        if rope.get(name) is None:
            raise ModelLoadError(
                f"rope scaling of type {rope['rope_type']!r} needs {name}, which config.json does "
                "not give; add it, or download config.json again."
            )
    check_rope_numbers(rope)
    if rope["rope_type"] == "llama3" and not rope["low_freq_factor"] < rope["high_freq_factor"]:
        raise ModelLoadError(
            f"low_freq_factor is {shown(rope['low_freq_factor'])}; it must be below "
            f"high_freq_factor, {shown(rope['high_freq_factor'])}. Download config.json again."
        )
    return rope


def num_positions(source: "PreTrainedConfig", rope: Mapping[str, Any]) -> int:
    """How many positions a model has, stretched as its config says."""
    if rope["rope_type"] == "yarn":
        return int(rope[TRAINED] * rope["factor"])
    if rope["rope_type"] in ("linear", "dynamic"):
        return int(source.max_position_embeddings * rope["factor"])
    return source.max_position_embeddings


def _refuse_unsupported(rope: Mapping[str, Any]) -> None:
    if rope.get("rope_type") not in SUPPORTED_ROPE_TYPES:
        raise ModelLoadError(
            f"rope_type is {shown(rope.get('rope_type'))}; supported are "
            f"{', '.join(SUPPORTED_ROPE_TYPES)}. "
            "Choose a model that scales its positions in one of these ways."
        )
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelLoadError(
            f"partial_rotary_factor is {shown(rope['partial_rotary_factor'])}; only 1.0 is "
            "computed here. Choose a model that rotates whole heads."
        )


def check_rope_numbers(rope: Mapping[str, Any]) -> None:
    """Refuses numbers with which no angle can be computed.

    Raises:
        ModelLoadError: One is not above 0, or no number.
    """
    for name in _ABOVE_ZERO:
        value = rope.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 < value < math.inf):
            raise ModelLoadError(
                f"{name} is {shown(value)}; it must be a number above 0. Download config.json "
                "again."
            )
