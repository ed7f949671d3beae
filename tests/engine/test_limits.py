from typing import Any

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.memory.prefix_cache import NoCache
from nanovllm_edu.core.memory.radix_tree import RadixTree
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.limits import build_scheduler, longest_sequence
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.core.steps import Guesses
from tests.engine.engines import engine


@pytest.mark.parametrize(
    ("num_blocks", "asked", "longest"),
    [(4, None, 16), (4, 9, 9), (100, None, 64)],
    ids=["the pool", "the option", "the model"],
)
def test_the_longest_sequence_is_what_all_three_allow(
    num_blocks: int, asked: int | None, longest: int
) -> None:
    runner = ChecksumRunner(num_blocks, 4, max_model_len=64)
    assert longest_sequence(EngineConfig(max_model_len=asked), runner) == longest


def test_the_scheduler_has_the_options_and_the_pool_of_the_runner() -> None:
    config = EngineConfig(max_num_seqs=3, max_num_batched_tokens=9, enable_prefix_caching=False)
    scheduler = build_scheduler(config, ChecksumRunner(6, 4, eos_token_ids=frozenset({2})))
    manager = scheduler.block_manager
    assert (manager.num_blocks, manager.block_size) == (6, 4)
    assert isinstance(manager.cache, NoCache)
    assert (scheduler.max_num_seqs, scheduler.max_num_batched_tokens) == (3, 9)
    assert (scheduler.max_model_len, scheduler.eos_token_ids) == (24, {2})
    assert scheduler.policy is config.policy


@pytest.mark.parametrize(
    ("name", "cache", "policy"), [("hash", HashIndex, FIFO), ("radix", RadixTree, LRU)]
)
def test_the_cache_and_its_policy_are_those_of_the_options(
    name: str, cache: type, policy: type
) -> None:
    guesses = Guesses()
    config = EngineConfig(prefix_cache=name, eviction_policy=policy, draft_proposer=guesses)
    scheduler = build_scheduler(config, ChecksumRunner(6, 4))
    assert isinstance(scheduler.block_manager.cache, cache)
    assert isinstance(scheduler.block_manager.evictable, policy)
    assert scheduler.draft_proposer is guesses


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"max_model_len": 5000}, ["max_model_len=5000", "4096 positions", "lower it"]),
        ({"max_model_len": 129}, ["max_model_len=129", "32 blocks of 4 hold 128", "num_blocks"]),
        ({"num_blocks": 1, "block_size": 1}, ["1 token:", "raise num_blocks"]),
        (
            {"enable_chunked_prefill": False, "max_num_batched_tokens": 64},
            ["max_model_len=128", "max_num_batched_tokens=64", "enable_chunked_prefill=True"],
        ),
    ],
)
def test_options_that_contradict_the_runner_are_an_error(
    options: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        engine(**options)
    for part in parts:
        assert part in str(error.value)
