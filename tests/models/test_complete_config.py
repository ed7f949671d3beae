"""A config that leaves nothing implied says what transformers makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from nanovllm_edu.models.complete_config import complete
from nanovllm_edu.models.folder import TINY_DRAFT_FOLDER, TINY_MODEL_FOLDER
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.models.registry import _OUR_FAMILIES, MODELS


def written(folder: Path = TINY_MODEL_FOLDER) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text("utf-8"))


@pytest.mark.parametrize("folder", [TINY_MODEL_FOLDER, TINY_DRAFT_FOLDER])
def test_it_says_what_transformers_says(folder: Path) -> None:
    ours = complete(written(folder))
    assert ours is not None
    assert Qwen3ForCausalLM.read_config(ours) == Qwen3ForCausalLM.read_config(  # type: ignore[arg-type]
        AutoConfig.from_pretrained(folder)
    )


def test_end_tokens_may_be_left_out() -> None:
    config = written()
    del config["eos_token_id"]
    ours = complete(config)
    assert ours is not None
    assert Qwen3ForCausalLM.read_config(ours).eos_token_ids == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in written() if name in (
    "vocab_size", "hidden_size", "head_dim", "hidden_act", "dtype", "rope_parameters",
    "rms_norm_eps", "attention_bias", "layer_types", "tie_word_embeddings", "model_type",
)])  # fmt: skip
def test_what_is_left_out_is_asked_of_transformers(name: str) -> None:
    config = written()
    del config[name]
    assert complete(config) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "llama"},
        {"hidden_size": "many"},
        {"hidden_size": True},
        {"hidden_size": 0},
        {"dtype": "int8"},
        {"torch_dtype": "float16"},
        {"rope_scaling": None},
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default", "partial": 0.5}},
        {"layer_types": ["sliding_attention"] * 5},
        {"layer_types": ["full_attention"] * 4},
    ],
)
def test_what_needs_an_opinion_is_asked_of_transformers(changes: dict[str, Any]) -> None:
    assert complete(written()) is not None
    assert complete(written() | changes) is None


def test_our_families_are_computed_by_the_classes_that_transformers_names() -> None:
    usual = {family: MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family] for family in _OUR_FAMILIES}
    assert usual == _OUR_FAMILIES
    assert set(usual.values()) == set(MODELS)
