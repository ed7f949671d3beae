"""`Shape`: the sizes of the model in the box, read from its config.json.

One architecture is computed here, Qwen3 with plain rotary positions; anything else is refused.
`models/config.py` reads all others, with the help of transformers.

Read next: `weights.py`.
"""

from array import array
from dataclasses import dataclass
from math import cos, sin
from pathlib import Path
from typing import Any

from nanovllm_edu.errors import ModelLoadError, shown
from nanovllm_edu.models.json_file import read_json
from nanovllm_edu.runners.browser.floats import Floats, zeros

EXPECTED = {
    "model_type": "qwen3",
    "hidden_act": "silu",
    "attention_bias": False,
    "use_sliding_window": False,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Shape:
    """Sizes, under the names of `ModelConfig`."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float
    rope_theta: float
    max_positions: int
    eos_token_ids: frozenset[int]

    @property
    def q_size(self) -> int:
        """Numbers of all query heads of a token."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Numbers of all key heads of a token."""
        return self.num_kv_heads * self.head_dim


def read_shape(folder: Path) -> Shape:
    """The sizes of the model in a folder.

    Raises:
        ModelLoadError: It is of another architecture.
    """
    config = read_json(folder / "config.json")
    rope = config.get("rope_parameters") or {}
    found = {**{name: config.get(name) for name in EXPECTED}, "rope_type": rope.get("rope_type")}
    for name, value in {**EXPECTED, "rope_type": "default"}.items():
        if found[name] != value:
            raise ModelLoadError(
                f"{name} is {shown(found[name])}, and without torch only {value!r} is computed; "
                "use LLM()."
            )
    return _shape(config, rope["rope_theta"])


def _shape(config: dict[str, Any], rope_theta: float) -> Shape:
    eos = config["eos_token_id"]
    return Shape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        intermediate_size=config["intermediate_size"],
        rms_norm_eps=config["rms_norm_eps"],
        rope_theta=rope_theta,
        max_positions=config["max_position_embeddings"],
        eos_token_ids=frozenset(eos if isinstance(eos, list) else [eos]),
    )


def rotary_table(shape: Shape) -> Floats:
    """Cosines, then sines, of each position's angles: float32 `[max_positions, head_dim]`.

    Every step is rounded to float32, as in `layers/rotary.py`.
    """
    half = shape.head_dim // 2
    powers = array("f", (shape.rope_theta ** (2 * i / shape.head_dim) for i in range(half)))
    frequencies = array("f", (1 / power for power in powers))
    table = zeros(0)
    for position in range(shape.max_positions):
        angles = array("f", (position * frequency for frequency in frequencies))
        table.extend(map(cos, angles))
        table.extend(map(sin, angles))
    return table
