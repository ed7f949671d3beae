"""A config.json that leaves nothing implied, taken as it is written.

transformers knows what each family's configs leave out and how fields were called over the years,
and takes seconds to import. What its newer releases write says everything in today's words, as the
model in the box does: there is nothing left to ask.

Read next: `registry.py`, which decides; `config.py`, which reads the fields.
"""

from types import SimpleNamespace
from typing import Any

import torch

_POSITIVE = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings"),
)
_COMMON: dict[str, type] = {
    **dict.fromkeys(_POSITIVE, int),
    "rms_norm_eps": float,
    "hidden_act": str,
    "tie_word_embeddings": bool,
    "dtype": str,
    "rope_parameters": dict,
}
_OF_FAMILY: dict[str, dict[str, type]] = {
    "qwen3": {"attention_bias": bool, "layer_types": list},
}
"""What a family's `read_config` reads beyond that, for those that are read here."""

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def complete(written: dict[str, Any]) -> SimpleNamespace | None:
    """The config, with what transformers would say in the same places; None if it must be asked.

    Args:
        written: What config.json holds.
    """
    family = _OF_FAMILY.get(str(written.get("model_type")))
    if family is None or written.keys() & {"rope_theta", "rope_scaling", "torch_dtype"}:
        return None
    for name, kind in {**_COMMON, **family}.items():
        if type(written.get(name)) is not kind:
            return None
    if any(written[name] < 1 for name in _POSITIVE) or written["dtype"] not in _DTYPES:
        return None
    rope = written["rope_parameters"]
    if rope.keys() != {"rope_theta", "rope_type"} or rope["rope_type"] != "default":
        return None
    if written["layer_types"] != ["full_attention"] * written["num_hidden_layers"]:
        return None
    says = {"eos_token_id": None, **written, "dtype": _DTYPES[written["dtype"]]}
    return SimpleNamespace(**says)
