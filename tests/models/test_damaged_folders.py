"""Case 18: model folders with something wrong in them. Each is refused, and says what it is."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanovllm_edu import LLM
from nanovllm_edu.errors import ModelLoadError, NanoVLLMError
from nanovllm_edu.models.checkpoint import INDEX_NAME, SINGLE_NAME
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.tokenizer import Tokenizer
from tests.models.configurations import Configuration
from tests.models.random_configurations import edit_config

DEEP = "[" * 200_000 + "]" * 200_000


def error(folder: Path) -> str:
    with pytest.raises(NanoVLLMError) as caught:
        load_model(folder, progress=False)
    return str(caught.value)


def change(folder: Path, name: str, values: torch.Tensor) -> None:
    tensors = load_file(folder / SINGLE_NAME)
    save_file(tensors | {name: values}, folder / SINGLE_NAME)


# ---------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_named(folder: Path, bad: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    values = load_file(folder / SINGLE_NAME)[name]
    values[3, 4] = bad
    change(folder, name, values)
    message = error(folder)
    assert f"1 ({name})" in message and "NaN" in message


def test_weights_too_large_for_the_dtype_are_named(folder: Path) -> None:
    change(folder, "model.norm.weight", torch.full((32,), 1e30))
    load_model(folder, dtype=torch.bfloat16, progress=False)
    with pytest.raises(ModelLoadError, match=r"model\.norm\.weight.* in torch\.float16"):
        load_model(folder, dtype=torch.float16, progress=False)


def test_large_weights_are_no_mistake(folder: Path) -> None:
    change(folder, "model.norm.weight", torch.full((32,), 3e38))  # their sum is infinite
    load_model(folder, progress=False)


def test_the_index_says_which_of_two_shards_holds_a_tensor(sharded_folder: Path) -> None:
    expected = load_model(sharded_folder, progress=False).norm.weight.clone()
    weight_map = json.loads((sharded_folder / INDEX_NAME).read_text())["weight_map"]
    for name in sorted(set(weight_map.values())):
        if name != weight_map["model.norm.weight"]:
            path = sharded_folder / name
            save_file(load_file(path) | {"model.norm.weight": torch.zeros(32)}, path)
    assert torch.equal(load_model(sharded_folder, progress=False).norm.weight, expected)


def test_an_index_that_names_the_wrong_shard_is_refused(sharded_folder: Path) -> None:
    index = json.loads((sharded_folder / INDEX_NAME).read_text())
    weight_map = index["weight_map"]
    wrong = min(set(weight_map.values()) - {weight_map["model.norm.weight"]})
    weight_map["model.norm.weight"] = wrong
    (sharded_folder / INDEX_NAME).write_text(json.dumps(index))
    assert f"{wrong} holds 'model.norm.weight', and it does not" in error(sharded_folder)


# ----------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("rope", "words"),
    [
        ({"rope_type": "default", "rope_theta": 0}, "rope_theta is 0; it must be a number above 0"),
        ({"rope_type": "default", "rope_theta": -1e4}, "rope_theta is -10000.0"),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": 0.0}, "factor is 0.0"),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": -2.0}, "factor is -2.0"),
        ({"rope_type": "dynamic", "rope_theta": 1e4}, "factor"),
        ({"rope_type": "linear", "rope_theta": 1e4, "factor": "two"}, "factor is 'two'"),
        (
            {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 2.0,
                "original_max_position_embeddings": 0,
            },
            "original_max_position_embeddings is 0",
        ),
        (
            {
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 2.0,
                "low_freq_factor": 4.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            "low_freq_factor is 4.0; it must be below",
        ),
    ],
)
def test_numbers_of_positions_that_make_no_sense_are_refused(folder: Path, rope, words) -> None:
    edit_config(folder, rope_parameters=rope)
    assert words in error(folder)


@pytest.mark.parametrize("eos", ["</s>", 2.5, [7, "x"], [[7]], -1, True, {"id": 7}])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_an_end_that_is_no_token_id_is_refused(folder: Path, name: str, eos: Any) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)
    path = folder / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | {"eos_token_id": eos}))
    assert name in error(folder)


@pytest.mark.parametrize(
    ("eos", "expected"), [(None, ()), (0, (0,)), (7, (7,)), ([7, 9], (7, 9)), ([], ())]
)
def test_an_end_may_be_one_token_several_or_none(folder: Path, eos: Any, expected) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)
    edit_config(folder, eos_token_id=eos)
    assert read_config(folder).eos_token_ids == expected


@pytest.mark.parametrize("size", [2**31, 2**63, 10**30, 2**31 - 1, 0, -1])
@pytest.mark.parametrize(
    "name",
    [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
    ],
)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_sizes_that_no_model_has_are_refused(
    family: str, name: str, size: int, tmp_path: Path
) -> None:
    Configuration(family, "saved").save(tmp_path)
    edit_config(tmp_path, **{name: size})
    assert len(error(tmp_path)) < 1500


def test_a_config_of_another_family_than_it_names_is_refused(folder: Path) -> None:
    edit_config(folder, architectures=["Qwen3ForCausalLM"])
    assert "contradicts itself" in error(folder)
    edit_config(folder, architectures=["LlamaForCausalLM"], model_type="gpt2")
    assert "config.json" in error(folder)


@pytest.mark.parametrize("architectures", [None, [], "LlamaForCausalLM", [3], {"a": 1}])
def test_without_architecture_or_known_family_it_says_so(folder: Path, architectures: Any) -> None:
    edit_config(folder, architectures=architectures, model_type="unheard")
    assert "names neither" in error(folder)


def test_without_architecture_the_family_is_enough(folder: Path) -> None:
    edit_config(folder, architectures=None)
    assert load_model(folder, progress=False).config.architecture == "LlamaForCausalLM"
    edit_config(folder, architectures=["LlamaModel"])
    assert load_model(folder, progress=False).config.architecture == "LlamaForCausalLM"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", INDEX_NAME])
@pytest.mark.parametrize(
    "text", ["{", "[]", "3", DEEP, '{"a": ' * 99_999, "\x00", '{"a": 1' + "0" * 10_000 + "}"]
)
def test_json_that_is_damaged_or_nested_too_deeply_is_refused(
    sharded_folder: Path, name: str, text: str
) -> None:
    (sharded_folder / name).write_text(text)
    assert name in error(sharded_folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", INDEX_NAME])
def test_a_file_that_is_no_text_is_refused(sharded_folder: Path, name: str) -> None:
    (sharded_folder / name).write_bytes(b"\xff\xfe\x00{")
    assert name in error(sharded_folder)


@pytest.mark.parametrize("model", [None, "", 3, ["tiny"], b"tiny", "x" * 10**6, "a\0b"])
def test_what_is_no_name_of_a_model_is_refused(model: Any) -> None:
    with pytest.raises(ModelLoadError) as caught:
        LLM(model)
    assert len(str(caught.value)) < 1000


# -------------------------------------------------------------------------------- tokenizer


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(TINY_MODEL_FOLDER / name, tmp_path)
    return tmp_path


def test_a_tokenizer_that_is_damaged_anywhere_is_refused_or_works(tokenizer_folder: Path) -> None:
    """Every kind of damage to tokenizer.json: cut, garbled, a value of another type."""
    path, rng = tokenizer_folder / "tokenizer.json", random.Random(0)
    whole = path.read_text()
    damaged = [whole[: rng.randrange(len(whole))] for _ in range(5)]
    damaged += ["", "{}", "[]", "null", DEEP, "\x00" * 99, '{"model": {}}', '{"version": 3}']
    content = json.loads(whole)
    for name in content:
        for value in (None, 3, "x", [], {}, [{}], {"type": "Unheard"}):
            damaged.append(json.dumps(content | {name: value}))
    for name in content["model"]:
        model = content["model"] | {name: rng.choice((3, "x", [[[]]], {"a": "b"}))}
        damaged.append(json.dumps(content | {"model": model}))
    refused: list[str] = []
    for text in damaged:
        path.write_text(text)
        try:
            Tokenizer.load(tokenizer_folder).decode([3, 4])
        except ModelLoadError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert all(str(tokenizer_folder) in message and len(message) < 1000 for message in refused)


@pytest.mark.parametrize("text", ["{", "[]", DEEP, '{"chat_template": 3}', '{"eos_token": 3}'])
def test_a_damaged_tokenizer_config_is_refused_or_works(tokenizer_folder: Path, text: str) -> None:
    (tokenizer_folder / "tokenizer_config.json").write_text(text)
    try:
        tokenizer = Tokenizer.load(tokenizer_folder)
        tokenizer.chat_prompt([{"role": "user", "content": "Hello"}])
    except NanoVLLMError:
        pass
