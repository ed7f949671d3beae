"""The bundled folder is an ordinary, small Hugging Face model folder."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.evaluate import as_chat, complete


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(TINY_MODEL_FOLDER, dtype=torch.float32).eval()


def test_the_folder_loads_as_a_small_qwen3(model):
    assert isinstance(model, Qwen3ForCausalLM)
    assert model.num_parameters() <= 4_000_000
    assert model.config.head_dim == 64
    assert model.config.tie_word_embeddings
    assert model.config.max_position_embeddings >= 2048


def test_the_weights_are_bfloat16_and_fit_in_ten_megabytes():
    assert (TINY_MODEL_FOLDER / "model.safetensors").stat().st_size <= 10_000_000
    assert json.loads((TINY_MODEL_FOLDER / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_end_token_agrees_everywhere(model):
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_the_training_run_is_recorded():
    run = json.loads((TINY_MODEL_FOLDER / "training_run.json").read_text())
    assert run["loss"][-1]["loss"] < run["loss"][0]["loss"]
    assert {"settings", "versions", "device", "seconds", "evaluation"} <= set(run)


def test_complete_keeps_the_order_and_returns_new_text_only(model):
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)
    prompts = [as_chat(tokenizer, "Hello!"), "Once upon a time", "Hi"]
    together = list(complete(model, tokenizer, prompts, max_new_tokens=3))
    alone = [next(complete(model, tokenizer, [p], max_new_tokens=3)) for p in prompts]
    assert together == alone
