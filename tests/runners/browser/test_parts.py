"""Each part of the runner without torch equals its counterpart with tensors, or refuses by name."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.layers.rotary import rotary_table as reference_table
from nanovllm_edu.live.engine import make_decoder
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.native.gemm import pack
from nanovllm_edu.runners.browser.decoder import PlainDecoder
from nanovllm_edu.runners.browser.floats import address, gather, zeros
from nanovllm_edu.runners.browser.shape import read_shape, rotary_table
from nanovllm_edu.runners.browser.weights import read_weights

WEIGHTS = TINY_MODEL_FOLDER / "model.safetensors"


def test_weights_are_those_of_safetensors():
    mine, right = read_weights(WEIGHTS), load_file(WEIGHTS)
    assert mine.keys() == right.keys()
    for name, tensor in right.items():
        assert torch.equal(
            torch.frombuffer(mine[name], dtype=torch.float32), tensor.float().flatten()
        )


def test_float32_is_read_as_it_is(tmp_path):
    tensor = torch.randn(7)
    save_file({"x": tensor}, tmp_path / "x", {"made": "here"})
    assert read_weights(tmp_path / "x")["x"].tolist() == tensor.tolist()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-9],
    "no header": lambda data: data[:5],
    "a header that is no JSON": lambda data: data[:8] + b"x" + data[9:],
    "empty": lambda data: b"",
    "a length beyond the file": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(damage: str, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(DAMAGES[damage](WEIGHTS.read_bytes()))
    with pytest.raises(ModelLoadError, match="cannot be read"):
        read_weights(path)


def test_numbers_of_another_type_are_refused(tmp_path):
    save_file({"x": torch.zeros(3, dtype=torch.float16)}, tmp_path / "x")
    with pytest.raises(ModelLoadError, match=r"F16.*only F32, BF16"):
        read_weights(tmp_path / "x")


def test_a_missing_tensor_or_one_of_another_size_is_named():
    weights = dict(read_weights(WEIGHTS))
    name = "model.layers.1.mlp.up_proj.weight"
    for change, message in ((zeros(3), f"{name} has 3 numbers"), (None, f"{name} is missing")):
        damaged = {**weights, name: change} if change else weights
        if change is None:
            damaged = {key: value for key, value in weights.items() if key != name}
        with pytest.raises(ModelLoadError, match=message):
            PlainDecoder(read_shape(TINY_MODEL_FOLDER), damaged)


def test_sizes_and_angles_are_those_of_the_model():
    shape, right = read_shape(TINY_MODEL_FOLDER), read_config(TINY_MODEL_FOLDER)
    for mine, theirs in {"max_positions": "max_position_embeddings"}.items():
        assert getattr(shape, mine) == getattr(right, theirs)
    for name in (
        "vocab_size",
        "hidden_size",
        "num_layers",
        "num_heads",
        "num_kv_heads",
        "head_dim",
    ):
        assert getattr(shape, name) == getattr(right, name)
    assert (shape.intermediate_size, shape.rms_norm_eps) == (
        right.intermediate_size,
        right.rms_norm_eps,
    )
    assert shape.eos_token_ids == frozenset(right.eos_token_ids)
    table = torch.tensor(rotary_table(shape).tolist()).view(shape.max_positions, shape.head_dim)
    expected = reference_table(right.head_dim, right.rope_parameters, shape.max_positions)
    torch.testing.assert_close(table, expected, atol=3e-4, rtol=0)  # a last bit, at angle 2000
    torch.testing.assert_close(table[:100], expected[:100], atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [{"model_type": "llama"}, {"attention_bias": True}, {"use_sliding_window": True},
     {"tie_word_embeddings": False}, {"rope_parameters": {"rope_type": "yarn"}}],
)  # fmt: skip
def test_another_architecture_is_refused_by_name(change: dict[str, Any], tmp_path):
    config = json.loads((TINY_MODEL_FOLDER / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    name = "rope_type" if "rope_parameters" in change else next(iter(change))
    with pytest.raises(ModelLoadError, match=f"{name} is .*use LLM"):
        read_shape(tmp_path)


@pytest.mark.parametrize("outputs", [1, 8, 40, 67])
def test_weights_are_packed_as_the_kernel_reads_them(outputs: int):
    weight = torch.randn(outputs, 24)
    mine = make_decoder()._pack(zeros(0) + weight_array(weight), 24)
    assert torch.equal(torch.frombuffer(mine.packed, dtype=torch.float32), pack(weight).flatten())
    assert (mine.outputs, mine.inputs) == (outputs, 24)


def weight_array(weight: torch.Tensor):
    floats = zeros(weight.numel())
    floats[:] = type(floats)("f", weight.flatten().tolist())
    return floats


def test_rows_are_gathered_in_any_order():
    table = zeros(0)
    table.extend(range(12))
    assert gather(table, 3, [3, 0, 3]).tolist() == [9, 10, 11, 0, 1, 2, 9, 10, 11]
    assert address(table, 2) - address(table) == 8
