from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.errors import ConfigError

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 0) for name in ("block_size", "max_num_seqs", "max_num_batched_tokens")],
        *[(name, "8") for name in ("block_size", "max_num_seqs", "num_blocks", "seed")],
        ("block_size", True),
        ("block_size", 4.0),
        ("num_blocks", 0),
        ("max_model_len", 1),
        ("seed", -1),
        ("max_num_seqs", 10**10),
        ("num_blocks", 2**31),
        ("enable_prefix_caching", 1),
        ("enable_chunked_prefill", None),
        ("enforce_eager", "no"),
        ("dtype", "float8"),
        ("attention_backend", "magic"),
        ("device", 0),
        ("gpu_memory_utilization", 0.0),
        ("gpu_memory_utilization", 1.1),
        ("gpu_memory_utilization", NAN),
        ("gpu_memory_utilization", "all"),
        ("policy", "mixed"),
        ("prefix_cache", "tree"),
        ("prefix_cache", None),
        ("draft_proposer", "ngram"),
        ("draft_proposer", object),
        ("eviction_policy", "LRU"),
        ("eviction_policy", FIFO()),
    ],
)
def test_a_bad_option_is_an_error_that_names_it_and_its_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        EngineConfig.from_options({name: value})
    assert name in str(error.value)
    assert repr(value) in str(error.value)


def test_integers_of_numpy_and_torch_are_integers() -> None:
    config = EngineConfig(block_size=np.int64(8), num_blocks=torch.tensor(5))  # type: ignore
    assert (config.block_size, config.num_blocks) == (8, 5)
    assert {type(config.block_size), type(config.num_blocks)} == {int}


def test_a_message_does_not_repeat_a_million_characters() -> None:
    for name in ("block_size", "dtype", "policy", "x" * 10**6, "enforce_eager", "nothing"):
        with pytest.raises(ConfigError) as error:
            EngineConfig.from_options({name: "x" * 10**6})
        assert len(str(error.value)) < 900


def test_a_misspelt_option_names_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"unknown option blok_size=8; did you mean 'block_size'"):
        EngineConfig.from_options({"blok_size": 8})


def test_an_option_like_no_other_lists_them_all() -> None:
    with pytest.raises(ConfigError, match=r"known: block_size, .*seed"):
        EngineConfig.from_options({"zzz": 8})


def test_a_config_is_frozen_and_checked_again_when_replaced() -> None:
    config = EngineConfig()
    with pytest.raises(FrozenInstanceError):
        config.block_size = 8  # type: ignore[misc]
    with pytest.raises(ConfigError, match="block_size=0"):
        replace(config, block_size=0)


def test_two_configs_do_not_share_a_policy() -> None:
    assert EngineConfig().policy is not EngineConfig().policy


class WithoutDiscard:
    """An eviction policy as one would write it for the hash index."""

    def push(self, block_id: int) -> None: ...

    def remove(self, block_id: int) -> None: ...

    def pop(self) -> int:
        return 0

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[int]:
        return iter(())


def test_a_tree_needs_a_policy_that_can_evict_out_of_turn() -> None:
    EngineConfig(eviction_policy=WithoutDiscard)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no discard\(block_id\).*use prefix_cache='hash'"):
        EngineConfig(prefix_cache="radix", eviction_policy=WithoutDiscard)  # type: ignore[arg-type]
