from typing import Any

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, EngineClosedError, PromptTooLongError, RequestError
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.core.steps import Guesses
from tests.engine.engines import add_all, collect, engine, finish, right_tokens


def started(num_steps: int = 2, **options: Any) -> tuple[LLMEngine, list[int]]:
    """An engine in the middle of its work."""
    llm = engine(**{"max_num_batched_tokens": 12, **options})
    seq_ids = add_all(llm)
    for _ in range(num_steps):
        llm.step()
    return llm, seq_ids


@pytest.mark.parametrize("num_steps", [0, 1, 2, 4, 7])
def test_a_fork_is_equal_and_goes_on_equally(num_steps: int) -> None:
    llm, _ = started(num_steps)
    twin = llm.fork()
    assert twin.state() == llm.state()
    assert finish(twin) == finish(llm)
    assert twin.state() == llm.state()


def test_a_fork_is_independent() -> None:
    llm, seq_ids = started()
    before = llm.state()
    twin = llm.fork()
    twin.abort_request(seq_ids[0])
    add_all(twin)
    finish(twin)
    assert llm.state() == before
    records = finish(llm)
    last = [tokens[-1] for tokens in collect(records, seq_ids)]
    assert last == [tokens[-1] for tokens in right_tokens()]


def test_new_requests_get_the_same_ids_in_both() -> None:
    llm, seq_ids = started()
    twin = llm.fork()
    assert twin.add_request([5]) == llm.add_request([5]) == seq_ids[-1] + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": PhaseSeparatedPolicy()},
        {"max_num_batched_tokens": 5},
        {"block_size": 1},
        {"block_size": 7},
        {"num_blocks": 6},
        {"num_blocks": 100, "block_size": 2},
        {"enable_prefix_caching": False},
        {"eviction_policy": FIFO},
        {"prefix_cache": "radix"},
        {"prefix_cache": "radix", "eviction_policy": FIFO, "num_blocks": 7},
        {"draft_proposer": Guesses(1, 2)},
        {"policy": PhaseSeparatedPolicy(), "block_size": 3, "max_num_batched_tokens": 3},
    ],
    ids=str,
)
def test_a_fork_with_other_options_gives_the_same_tokens(changes: dict[str, Any]) -> None:
    llm, seq_ids = started(3)
    right, twin = finish(llm.fork()), llm.fork(**changes)
    records = finish(twin)
    assert collect(records, seq_ids) == collect(right, seq_ids)
    for name, value in changes.items():
        assert getattr(twin.config, name) == value
    assert twin.runner.block_size == changes.get("block_size", 4)
    assert twin.runner.num_blocks == changes.get("num_blocks", 32)


def test_a_fork_in_the_middle_of_guessing_goes_on_equally() -> None:
    llm, seq_ids = started(3, draft_proposer=Guesses(1, 2, 3))
    twin, plain = llm.fork(), llm.fork(draft_proposer=None)
    right = collect(finish(llm), seq_ids)
    assert collect(finish(twin), seq_ids) == right
    assert collect(finish(plain), seq_ids) == right


def test_the_shape_of_the_cache_is_the_runners_not_the_configs() -> None:
    llm = LLMEngine(ChecksumRunner(16, 4), EngineConfig())  # the config says 16 tokens a block
    llm.add_request([1, 2, 3])
    twin = llm.fork(num_blocks=8)
    assert (twin.runner.num_blocks, twin.runner.block_size) == (8, 4)


def test_sampled_requests_go_on_equally_too() -> None:
    llm = engine()
    llm.add_request([1, 2, 3], SamplingParams(max_tokens=10))
    llm.step()
    twin = llm.fork(block_size=2)
    assert collect(finish(twin), [0]) == collect(finish(llm), [0])


@pytest.mark.parametrize("changes", [{}, {"block_size": 2}], ids=["kept", "anew"])
def test_each_fork_has_a_policy_of_its_own(changes: dict[str, Any]) -> None:
    class Counts(MixedPolicy):
        num_calls = 0
        seen: tuple[Sequence, ...] = ()

        def order(self, running: Any, waiting: Any) -> Any:
            self.num_calls += 1
            return super().order(running, waiting)

    llm, _ = started(2, policy=Counts())
    twin = llm.fork(**changes)
    twin.step()
    grandchild = twin.fork(**changes)
    grandchild.step()
    policies = [fork.scheduler.policy for fork in (llm, twin, grandchild)]
    assert [policy.num_calls for policy in policies] == [2, 3, 4]  # type: ignore[attr-defined]
    assert twin.config.policy is twin.scheduler.policy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_num_seqs": 3}, "cannot change"),
        ({"blok_size": 3}, "blok_size"),
        ({"block_size": 0}, "block_size=0"),
        ({"num_blocks": 2, "max_num_batched_tokens": 0}, "max_num_batched_tokens=0"),
    ],
)
def test_a_change_that_is_not_possible_is_an_error(changes: dict[str, Any], message: str) -> None:
    llm, _ = started()
    before = llm.state()
    with pytest.raises(ConfigError, match=message):
        llm.fork(**changes)
    assert llm.state() == before


def test_a_pool_too_small_for_the_sequences_is_an_error() -> None:
    llm, _ = started()
    with pytest.raises(PromptTooLongError, match="2 blocks of 4"):
        llm.fork(num_blocks=2)


def test_no_fork_while_steps_are_in_flight() -> None:
    llm, _ = started(0)
    next(llm.run(2))
    with pytest.raises(RequestError, match=r"steps are in flight \(2\)"):
        llm.fork()
    llm.step()
    llm.step()
    assert llm.fork().state() == llm.state()


def test_closing_the_one_leaves_the_other() -> None:
    llm, _ = started()
    twin = llm.fork()
    llm.close()
    assert finish(twin)
    with pytest.raises(EngineClosedError):
        llm.fork()
