"""Several processes share a model: the same tokens as one, and one error for all when one ends."""

import os
import signal
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import DraftVerified, Event, Preempted, PrefixHit
from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, DeviceLostError, EngineClosedError
from nanovllm_edu.llm import LLM
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.runners import tensor_parallel
from nanovllm_edu.runners.load import load_runner
from nanovllm_edu.runners.tensor_parallel import TensorParallelRunner
from tests.models.configurations import Configuration
from tests.processes import is_there

OPTIONS: dict[str, Any] = {"num_blocks": 60, "block_size": 4, "max_model_len": 96}
GREEDY = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
SAMPLED = SamplingParams(temperature=0.8, top_p=0.9, seed=5, max_tokens=20, logprobs=2)
PROMPTS = [[5, 6, 7, 8] * 5, [9, 8, 7], [5, 6, 7, 8] * 4 + [30, 31], [40] * 9]
PARAMS = [GREEDY, SAMPLED, GREEDY, replace(GREEDY, repetition_penalty=1.2)]


def start(folder: Path = TINY_MODEL_FOLDER, num_ranks: int = 2, **more: Any):
    """A runner of so many ranks."""
    options = {**OPTIONS, **more}
    config = EngineConfig(tensor_parallel_size=num_ranks, **options)
    return TensorParallelRunner(folder, config, options, frozenset())


def tokens_of(
    runner: Any, depth: int = 0, told: list[StepRecord] | None = None, **options: Any
) -> list[list[int]]:
    """What an engine around this runner says."""
    engine = LLMEngine(runner, EngineConfig(**{**OPTIONS, **options}))
    seqs = engine.add_requests(zip(PROMPTS, PARAMS, strict=True))
    for record in engine.run(depth):
        engine.scheduler.check_invariants()
        if told is not None:
            told.append(record)
    return [seq.output_token_ids for seq in seqs]


def alone(folder: Path = TINY_MODEL_FOLDER, **more: Any):
    """A runner in this process."""
    options = {**OPTIONS, **more}
    return load_runner(folder, EngineConfig(**options), options, frozenset())[0]


@pytest.fixture(scope="module")
def pair() -> Iterator[TensorParallelRunner]:
    """Two ranks, of which nobody is ended."""
    runner = start()
    yield runner
    pids = [rank.process.pid for rank in runner.ranks]
    runner.close()
    runner.close()
    assert not [pid for pid in pids if is_there(pid)]
    with pytest.raises(EngineClosedError):
        runner.launch(StepPlan(0))


@pytest.fixture(scope="module")
def right() -> list[list[int]]:
    return tokens_of(alone())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 2},
        {"max_num_batched_tokens": 7},
        {"max_num_batched_tokens": 16, "prefix_cache": "radix", "depth": 1},
        {"draft_proposer": NgramProposer(3, min_match=1)},
        {"max_num_seqs": 2, "enable_prefix_caching": False},
    ],
    ids=str,
)
def test_two_ranks_say_what_one_process_says(
    pair: TensorParallelRunner, right: list[list[int]], options: dict[str, Any]
) -> None:
    told: list[StepRecord] = []
    assert tokens_of(pair, told=told, **options) == right
    for record in told:
        for times in record.rank_timings:
            assert 0 <= times["all-reduce"] <= times.get("forward", 0.0) + 1e-3
        assert len(record.rank_timings) == 2
    events = happened(told)
    assert (DraftVerified in events) == ("draft_proposer" in options)
    assert (PrefixHit in events) == options.get("enable_prefix_caching", True)


def test_a_fork_goes_on_by_itself(pair: TensorParallelRunner, right: list[list[int]]) -> None:
    """Three engines take turns in the same processes; one has blocks of another size."""
    engine = LLMEngine(pair, EngineConfig(**OPTIONS))
    seqs = engine.add_requests(zip(PROMPTS, PARAMS, strict=True))
    for _ in range(6):
        engine.step()
    before = {seq.seq_id: seq.output_token_ids for seq in seqs}
    twin, other = engine.fork(), engine.fork(block_size=8, num_blocks=40)
    engines = [engine, twin, other]
    said = [deepcopy(before) for _ in engines]
    while any(one.has_unfinished_requests() for one in engines):
        for one, mine in zip(engines, said, strict=True):
            if one.has_unfinished_requests():
                for seq_id, tokens in one.step().new_tokens.items():
                    mine[seq_id] += tokens
    assert [list(mine.values()) for mine in said] == [right] * 3
    twin.close()
    with pytest.raises(EngineClosedError):
        twin.runner.launch(StepPlan(0))
    other.runner.close()
    assert tokens_of(pair) == right


def test_whoever_is_preempted_says_the_same(
    pair: TensorParallelRunner, right: list[list[int]]
) -> None:
    pair.num_blocks = 16  # the engine hands out fewer than there are
    told: list[StepRecord] = []
    assert tokens_of(pair, told=told, depth=1, max_model_len=60) == right
    assert any(record.plan.preempted for record in told)
    pair.num_blocks = 60


def test_four_ranks_share_two_key_value_heads(tmp_path: Path) -> None:
    shape = {
        "vocab_size": 103, "hidden_size": 48, "intermediate_size": 54, "num_hidden_layers": 2,
        "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 128, "tie_word_embeddings": False, "attention_bias": True,
    }  # fmt: skip
    Configuration("qwen3", "gqa", shape, "1GB").save(tmp_path, 3)
    said = tokens_of(alone(tmp_path, dtype="float32"))
    runner = start(tmp_path, 4, dtype="float32")
    assert tokens_of(runner) == said
    runner.num_blocks = 16  # the engine hands out fewer than there are
    told: list[StepRecord] = []
    options = {"max_num_batched_tokens": 7, "max_model_len": 60, "depth": 1}
    assert tokens_of(runner, told=told, draft_proposer=NgramProposer(2), **options) == said
    assert happened(told) >= {Preempted, DraftVerified, PrefixHit}
    assert any(not all(record.plan.spans.are_sampled) for record in told)  # a part of a prompt
    twin = runner.fork(num_blocks=60)
    assert tokens_of(twin, depth=2) == said
    twin.close()
    runner.close()


def happened(told: list[StepRecord]) -> set[type[Event]]:
    """What kinds of things; a look into the cache that found nothing is none."""
    events = [event for record in told for event in (*record.plan.events, *record.effects)]
    return {
        PrefixHit if isinstance(event, PrefixHit) else type(event)
        for event in events
        if not isinstance(event, PrefixHit) or event.num_tokens
    }


def test_an_llm_says_who_shares_its_model() -> None:
    with LLM(num_blocks=40, tensor_parallel_size=2) as llm:
        assert llm.info.choices["ranks"][0] == "2"
        assert "query heads 0 to 1, key-value head 0, " in llm.info.choices["rank 0"][0]
        assert "query heads 2 to 3, key-value head 1, " in llm.info.choices["rank 1"][0]
        assert llm.info.choices["sums"][0] == "gloo"
        assert llm.engine.config.tensor_parallel_size == 2
        both = llm.generate("Once upon a time", GREEDY, use_tqdm=False)[0].text
    with LLM(num_blocks=40) as llm:
        assert llm.generate("Once upon a time", GREEDY, use_tqdm=False)[0].text == both
    with pytest.raises(ConfigError, match="tensor_parallel_size=3, and the model has 4 query"):
        LLM(tensor_parallel_size=3)


# ----------------------------------------------------------------------------------- faults


def lost(engine: LLMEngine, depth: int) -> str:
    """What the one error says that a run ends with; after it nothing is left."""
    runner = engine.runner
    assert isinstance(runner, TensorParallelRunner)
    with pytest.raises(DeviceLostError) as caught:
        for _ in engine.run(depth):
            pass
    assert not [rank for rank in runner.ranks if is_there(rank.process.pid)]
    engine.scheduler.check_invariants()
    assert not engine.scheduler.running
    with pytest.raises(DeviceLostError):  # it is told again, at once, and nobody waits
        engine.step()
    engine.close()
    return str(caught.value)


def busy_engine(runner: TensorParallelRunner) -> LLMEngine:
    engine = LLMEngine(runner, EngineConfig(**OPTIONS))
    params = replace(GREEDY, max_tokens=70)
    for prompt in PROMPTS:
        engine.add_request(prompt, params)
    return engine


def test_a_rank_that_is_killed_ends_all_with_one_error() -> None:
    engine = busy_engine(start())
    for _ in range(5):
        engine.step()
    engine.runner.ranks[0].process.kill()
    assert "rank 0 was killed by signal 9" in lost(engine, depth=1)


def test_a_rank_that_stops_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_parallel, "MEET_SECONDS", 1.0)
    engine = busy_engine(start())
    engine.step()
    os.kill(engine.runner.ranks[1].process.pid, signal.SIGSTOP)
    assert "one of them says" in lost(engine, depth=1)


def test_what_a_rank_raises_is_told() -> None:
    runner = start()
    ticket = runner.launch(StepPlan(0, Spans([Span(0, 5, 0, 1)])))  # of a row that nobody took
    with pytest.raises(DeviceLostError, match="one of them says KeyError: 5"):
        ticket.wait()
    runner.close()


def test_a_rank_that_cannot_start_says_why() -> None:
    with pytest.raises(DeviceLostError, match="ConfigError: max_model_len is 4096"):
        LLM(tensor_parallel_size=2, max_model_len=4096)
