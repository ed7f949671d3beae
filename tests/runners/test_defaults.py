"""What is chosen where nobody asked: nothing on a CPU, more at once on a GPU."""

from dataclasses import replace

import pytest
import torch

from nanovllm_edu import LLM
from nanovllm_edu.attention import flash
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.runners.defaults import device_defaults, prefill_chunk_size
from nanovllm_edu.runners.prefill_graphs import LARGEST


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
    assert (defaults["max_num_seqs"][0], defaults["max_num_batched_tokens"][0]) == (1024, 8192)
    assert defaults["max_num_batched_tokens"][0] <= LARGEST, "a step that no graph holds"
    assert all(why for _, why in defaults.values())


def test_a_chunk_takes_as_long_whatever_the_model_and_a_noisy_rate_changes_nothing(
    model: ModelConfig,
) -> None:
    small = replace(
        model, hidden_size=1024, num_layers=28, num_heads=16, num_kv_heads=8, head_dim=128,
        intermediate_size=3072, vocab_size=151_936, tie_word_embeddings=True,
    )  # fmt: skip
    assert {prefill_chunk_size(rate, small) for rate in (450e12, 500e12, 586e12, 700e12)} == {4096}
    large = replace(small, hidden_size=4096, num_layers=36, num_heads=32, intermediate_size=12_288)
    assert prefill_chunk_size(600e12, large) == 256
    assert prefill_chunk_size(1e12, large) == 256


def test_large_blocks_where_flash_attn_reads_long_contexts(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = torch.device("cuda")
    monkeypatch.setattr(flash, "find_spec", lambda name: object())
    assert device_defaults(device, model)["block_size"][0] == 256
    assert "block_size" not in device_defaults(device, replace(model, max_position_embeddings=2048))
    monkeypatch.setattr(flash, "find_spec", lambda name: None)
    assert "block_size" not in device_defaults(device, model)
