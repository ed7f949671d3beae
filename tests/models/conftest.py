"""A small saved model for the tests that damage one."""

from pathlib import Path

import pytest

from tests.models.configurations import Configuration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with a single safetensors file."""
    Configuration("llama", "saved", {"attention_bias": True, "eos_token_id": 7}).save(tmp_path)
    return tmp_path


@pytest.fixture
def sharded_folder(tmp_path: Path) -> Path:
    """The same with several files and an index."""
    Configuration("llama", "saved", {"eos_token_id": 7}, shard_size="20KB").save(tmp_path)
    return tmp_path
