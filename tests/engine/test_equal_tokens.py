"""The same requests give the same tokens, whatever happens around them."""

from typing import Any

import pytest

from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.runners.checksum import expected_tokens
from tests.core.steps import Guesses
from tests.engine.engines import collect, engine, finish

PREFIX = list(range(100, 113))
PROMPTS = [PREFIX, [*PREFIX, 1], [*PREFIX[:6], 2, 3], [4], [*PREFIX, 1, 5, 6]]
PARAMS = [
    SamplingParams(temperature=t, seed=seed, max_tokens=12)
    for seed, t in enumerate((0.0, 1.0, 1.0, 0.5, 0.0))
]
REQUESTS = list(zip(PROMPTS, PARAMS, strict=True))
ALONE = [expected_tokens(prompt, params, params.seed or 0) for prompt, params in REQUESTS]

CIRCUMSTANCES: dict[str, dict[str, Any]] = {
    "batched": {},
    "one at a time": {"max_num_seqs": 1},
    "preempted": {"num_blocks": 9, "max_num_batched_tokens": 100},
    "preempted without a cache": {"num_blocks": 9, "enable_prefix_caching": False},
    "not cached": {"enable_prefix_caching": False},
    "first in first out": {"num_blocks": 9, "eviction_policy": FIFO},
    "chunked": {"max_num_batched_tokens": 5},
    "a token per step": {"max_num_batched_tokens": 1},
    "whole prompts": {"enable_chunked_prefill": False, "max_num_batched_tokens": 128},
    "phases": {"policy": PhaseSeparatedPolicy()},
    "phases, preempted": {"policy": PhaseSeparatedPolicy(), "num_blocks": 9},
    "a tree": {"prefix_cache": "radix"},
    "a tree, preempted": {"prefix_cache": "radix", "num_blocks": 9},
    "guessed at": {"draft_proposer": Guesses(1, 2, 3)},
    "guessed at, preempted": {"draft_proposer": Guesses(1, 2, 3), "num_blocks": 9},
    "blocks of one token": {"block_size": 1, "num_blocks": 128},
    "blocks of seven": {"block_size": 7},
}


def run(depth: int, **options: Any) -> tuple[list[list[int]], list[StepRecord]]:
    llm = engine(**options)
    seq_ids = [llm.add_request(prompt, params) for prompt, params in REQUESTS]
    records = finish(llm, depth)
    return collect(records, seq_ids), records


def test_alone() -> None:
    for (prompt, params), right in zip(REQUESTS, ALONE, strict=True):
        llm = engine()
        seq_id = llm.add_request(prompt, params)
        assert collect(finish(llm), [seq_id]) == [right]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("options", CIRCUMSTANCES.values(), ids=CIRCUMSTANCES)
def test_in_company(options: dict[str, Any], depth: int) -> None:
    tokens, records = run(depth, **options)
    assert tokens == ALONE
    was_preempted = any(record.preempted for record in records)
    assert was_preempted == (options.get("num_blocks") == 9)


def test_a_second_time_from_the_cache() -> None:
    llm, num_computed = engine(), []
    for _ in range(2):
        seq_ids = [llm.add_request(prompt, params) for prompt, params in REQUESTS]
        records = finish(llm)
        assert collect(records, seq_ids) == ALONE
        num_computed.append(sum(record.num_tokens for record in records))
    assert num_computed[1] < num_computed[0]


def test_planning_ahead_computes_nothing_in_vain_when_lengths_end_it() -> None:
    num_tokens = [sum(r.num_tokens for r in run(depth)[1]) for depth in range(4)]
    assert len(set(num_tokens)) == 1
