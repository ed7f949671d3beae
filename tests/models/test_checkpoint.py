"""Checkpoints whose tensors do not fit, and files that are not what they claim to be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.checkpoint import INDEX_NAME, SINGLE_NAME
from nanovllm_edu.models.loader import load_model
from tests.models.configurations import Configuration

Tensors = dict[str, torch.Tensor]
_Q = "model.layers.1.self_attn.q_proj.weight"


def _change(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / SINGLE_NAME)
    change(tensors)
    save_file(tensors, folder / SINGLE_NAME)


def _error(folder: Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        load_model(folder, progress=False)
    return str(caught.value)


def test_missing_tensors_are_counted_and_the_first_named(folder: Path) -> None:
    def drop_layer_0(tensors: Tensors) -> None:
        for name in [n for n in tensors if n.startswith("model.layers.0.")]:
            del tensors[name]

    _change(folder, drop_layer_0)
    message = _error(folder)
    assert "13 (model.layers.0.input_layernorm.weight, " in message
    assert "…) missing" in message
    assert "unexpected" not in message


def test_one_part_of_a_merged_matrix_can_be_missing(folder: Path) -> None:
    _change(folder, lambda tensors: tensors.pop(_Q))
    assert f"1 ({_Q}) missing" in _error(folder)


def test_extra_tensors_are_named(folder: Path) -> None:
    _change(folder, lambda tensors: tensors.update({"model.extra": torch.zeros(1)}))
    assert "1 (model.extra) unexpected" in _error(folder)


def test_misshaped_tensors_are_named_with_both_shapes(folder: Path) -> None:
    _change(folder, lambda tensors: tensors.update({_Q: torch.zeros(63, 32)}))
    assert f"{_Q} [63, 32] instead of [64, 32]" in _error(folder)


def test_integers_are_not_taken_for_weights(folder: Path) -> None:
    quantized = torch.zeros(64, 32, dtype=torch.int8)
    _change(folder, lambda tensors: tensors.update({_Q: quantized}))
    assert f"{_Q} I8" in _error(folder)


def test_everything_wrong_is_said_at_once(folder: Path) -> None:
    def rename(tensors: Tensors) -> None:
        tensors["model.other"] = tensors.pop(_Q)

    _change(folder, rename)
    message = _error(folder)
    assert f"1 ({_Q}) missing" in message
    assert "1 (model.other) unexpected" in message


@pytest.mark.parametrize("num_bytes", [0, 4, 1000, -1])
def test_a_truncated_file_is_named(folder: Path, num_bytes: int) -> None:
    path = folder / SINGLE_NAME
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert f"{path} is truncated or damaged" in _error(folder)


def test_garbage_is_named(folder: Path) -> None:
    (folder / SINGLE_NAME).write_bytes(b"garbage " * 100)
    assert "truncated or damaged" in _error(folder)


def test_a_missing_shard_is_named(sharded_folder: Path) -> None:
    shard = min(sharded_folder.glob("model-*.safetensors"))
    shard.unlink()
    assert repr(shard.name) in _error(sharded_folder)


def test_an_index_may_not_point_outside_the_folder(sharded_folder: Path) -> None:
    outside = sharded_folder.parent / "outside.safetensors"
    outside.touch()
    index = {"weight_map": {"x": "../outside.safetensors"}}
    (sharded_folder / INDEX_NAME).write_text(json.dumps(index))
    assert "'../outside.safetensors'" in _error(sharded_folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {"x": 1}}'])
def test_a_damaged_index_is_named(sharded_folder: Path, text: str) -> None:
    (sharded_folder / INDEX_NAME).write_text(text)
    assert INDEX_NAME in _error(sharded_folder)


def test_pickles_are_not_opened_and_the_remedy_is_named(folder: Path) -> None:
    (folder / SINGLE_NAME).rename(folder / "pytorch_model.bin")
    message = _error(folder)
    assert "pytorch_model.bin" in message
    assert "save_pretrained" in message


def test_no_weights_at_all(folder: Path) -> None:
    (folder / SINGLE_NAME).unlink()
    assert SINGLE_NAME in _error(folder)


def test_derived_buffers_of_old_checkpoints_are_ignored(folder: Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    _change(folder, lambda tensors: tensors.update({name: torch.ones(8)}))
    load_model(folder, progress=False)


def test_a_tied_head_may_be_stored_again_but_not_differ(tmp_path: Path) -> None:
    Configuration("llama", "saved", {"tie_word_embeddings": True}).save(tmp_path)
    embedding = load_file(tmp_path / SINGLE_NAME)["model.embed_tokens.weight"]
    _change(tmp_path, lambda tensors: tensors.update({"lm_head.weight": embedding.clone()}))
    load_model(tmp_path, progress=False)
    _change(tmp_path, lambda tensors: tensors.update({"lm_head.weight": embedding + 1}))
    assert "tie_word_embeddings" in _error(tmp_path)
