"""What is chosen where nobody asked: nothing on a CPU, more at once on a GPU."""

from dataclasses import replace

import pytest
import torch

from nanovllm_edu import LLM
from nanovllm_edu.attention import flash
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.runners.defaults import device_defaults


@pytest.fixture
def model() -> ModelConfig:
    tiny = read_config(resolve_model_folder("tiny"))
    return replace(tiny, dtype=torch.bfloat16, max_position_embeddings=40_960)


def test_a_cpu_has_the_configs_own_defaults(model: ModelConfig) -> None:
    assert device_defaults(torch.device("cpu"), model) == {}
    with LLM(device="cpu") as llm:
        config = llm.engine.config
        assert (config.block_size, config.max_num_seqs, config.max_num_batched_tokens) == (
            16, 64, 2048,
        )  # fmt: skip


def test_a_gpu_takes_more_at_once_and_says_why(model: ModelConfig) -> None:
    defaults = device_defaults(torch.device("cuda"), model)
    assert (defaults["max_num_seqs"][0], defaults["max_num_batched_tokens"][0]) == (1024, 16_384)
    assert all(why for _, why in defaults.values())


def test_large_blocks_where_flash_attn_reads_long_contexts(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = torch.device("cuda")
    monkeypatch.setattr(flash, "find_spec", lambda name: object())
    assert device_defaults(device, model)["block_size"][0] == 256
    assert "block_size" not in device_defaults(device, replace(model, max_position_embeddings=2048))
    monkeypatch.setattr(flash, "find_spec", lambda name: None)
    assert "block_size" not in device_defaults(device, model)
