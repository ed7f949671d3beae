"""Model folders that describe themselves well, badly, or not at all."""

import json
from pathlib import Path

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.registry import MODELS, read_config, sampling_defaults


def _edit(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))


def _error(folder: Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        read_config(folder)
    return str(caught.value)


def test_every_class_is_registered_under_its_own_name() -> None:
    assert all(name == model.__name__ for name, model in MODELS.items())


def test_generation_config_has_the_last_word_on_end_tokens(folder: Path) -> None:
    _edit(folder / "generation_config.json", eos_token_id=[3, 5])
    assert read_config(folder).eos_token_ids == (3, 5)


def test_end_tokens_of_the_config_hold_where_generation_config_names_none(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{}")
    assert read_config(folder).eos_token_ids == (7,)
    (folder / "generation_config.json").unlink()
    assert read_config(folder).eos_token_ids == (7,)


def test_the_older_names_of_the_rope_options_are_read(folder: Path) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["rope_parameters"]
    path.write_text(json.dumps(content))
    _edit(path, rope_theta=5e5, rope_scaling={"type": "linear", "factor": 2.0})
    rope = read_config(folder).rope_parameters
    assert (rope["rope_type"], rope["rope_theta"], rope["factor"]) == ("linear", 5e5, 2.0)


def test_an_unsupported_architecture_names_the_supported_ones(folder: Path) -> None:
    _edit(folder / "config.json", architectures=["GPT2LMHeadModel"])
    message = _error(folder)
    assert "'GPT2LMHeadModel'" in message
    assert all(name in message for name in MODELS)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "many"},
        {"model_type": "unheard_of"},
        {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.Config"}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}},
    ],
)
def test_an_invalid_config_is_named(folder: Path, changes) -> None:
    _edit(folder / "config.json", **changes)
    assert str(folder / "config.json") in _error(folder)


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json" in _error(folder)


def test_broken_generation_config_is_named(folder: Path) -> None:
    (folder / "generation_config.json").write_text("[1]")
    assert "generation_config.json" in _error(folder)


def test_an_empty_folder_says_what_a_model_folder_holds(tmp_path: Path) -> None:
    message = _error(tmp_path)
    assert "no config.json" in message
    assert "safetensors" in message


# ------------------------------------------------------------------ what the authors recommend


def test_sampling_options_of_generation_config_are_defaults(folder: Path) -> None:
    recommended = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05}
    _edit(folder / "generation_config.json", **recommended, do_sample=True, max_new_tokens=512)
    assert sampling_defaults(folder) == recommended | {"max_tokens": 512}
    assert SamplingParams(**sampling_defaults(folder)).top_k == 20


def test_without_recommendations_there_are_no_defaults(folder: Path) -> None:
    _edit(folder / "generation_config.json", temperature=None, do_sample=False)
    assert sampling_defaults(folder) == {}
    (folder / "generation_config.json").unlink()
    assert sampling_defaults(folder) == {}


@pytest.mark.parametrize("changes", [{"temperature": "hot"}, {"top_p": 7}, {"top_k": 2**40}])
def test_a_recommendation_out_of_range_is_refused(folder: Path, changes) -> None:
    _edit(folder / "generation_config.json", **changes)
    with pytest.raises(ModelLoadError, match=r"generation_config\.json cannot be used"):
        sampling_defaults(folder)
