"""The number of KV blocks, and why it is that."""

import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.errors import OutOfDeviceMemoryError
from nanovllm_edu.runners import memory

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_asked_for() -> None:
    assert memory.cache_size(EngineConfig(num_blocks=7), CPU, 10, 64) == memory.CacheSize(
        7, "asked for by num_blocks"
    )


def test_a_small_model_gets_what_its_sequences_can_use() -> None:
    size = memory.cache_size(EngineConfig(max_num_seqs=3, block_size=8), CPU, 10, 60)
    assert size == memory.CacheSize(3 * 8, "3 sequences of 60 tokens fit")


def test_a_large_one_gets_the_budget() -> None:
    size = memory.cache_size(EngineConfig(), CPU, 2**20, 100_000)
    assert size == memory.CacheSize(256, "a budget of 256 MiB on a CPU")


def test_a_gpu_without_room_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_affordable_on_gpu", lambda *_: (3, "90% of 8.0 GiB"))
    with pytest.raises(OutOfDeviceMemoryError, match=r"room for 3 KV blocks.*needs 4.*Lower"):
        memory.cache_size(EngineConfig(), GPU, 10, 64)
