"""Whoever guesses, and whatever happens meanwhile, the tokens are those of plain decoding."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanovllm_edu import LLM, LLMEngine, ModelProposer, NgramProposer, SamplingParams
from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.core.request.sequence import Sequence
from tests.first_layers import first_layers

RHYME = "1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 1 2 3"
PROMPTS = [RHYME, "Once upon a time", RHYME + " 4 5", "A token is", "la la la la la la"]
PARAMS = [
    SamplingParams(temperature=0, max_tokens=30, ignore_eos=True),
    SamplingParams(temperature=0.8, seed=1, max_tokens=24, ignore_eos=True, logprobs=2),
    SamplingParams(temperature=1.0, seed=2, top_k=9, top_p=0.9, max_tokens=20, ignore_eos=True),
    SamplingParams(
        temperature=0.7, seed=3, repetition_penalty=1.1, presence_penalty=0.2, max_tokens=24
    ),
    SamplingParams(temperature=0, max_tokens=24, stop=("a the", "e c", "s."), ignore_eos=True),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProposer]:
    folder: Path = first_layers(tmp_path_factory.mktemp("small"), 3)
    proposer = ModelProposer(folder, num_tokens=3, num_blocks=128)
    yield proposer
    proposer.close()


@pytest.fixture(params=["n-grams", "a small model"])
def proposer(request: pytest.FixtureRequest, small: ModelProposer) -> Any:
    return NgramProposer() if request.param == "n-grams" else small


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(block_size=4, num_blocks=128) as llm:
        yield llm


@pytest.fixture(scope="module")
def plain(llm: LLM) -> list[Sequence]:
    """The requests of plain decoding, one after the other."""
    return [run(llm.engine.fork(), [pair])[0][0] for pair in zip(PROMPTS, PARAMS, strict=True)]


def run(
    engine: LLMEngine, requests: Any = None, depth: int = 0
) -> tuple[list[Sequence], list[DraftVerified]]:
    """The requests, and what became of the guesses."""
    seqs = engine.add_requests(requests or zip(PROMPTS, PARAMS, strict=True))
    verified: list[DraftVerified] = []
    for record in engine.run(depth):
        verified += [event for event in record.events if isinstance(event, DraftVerified)]
        engine.scheduler.check_invariants()
    return seqs, verified


def check(seqs: list[Sequence], plain: list[Sequence]) -> None:
    for one, other in zip(seqs, plain, strict=True):
        assert one.output_token_ids == other.output_token_ids
        assert (one.finish_reason, one.stop_reason) == (other.finish_reason, other.stop_reason)
        assert len(one.token_times) == len(one.output_token_ids)
        assert [entry.token_id for entry in one.logprobs] == [e.token_id for e in other.logprobs]
        for entry, right in zip(one.logprobs, other.logprobs, strict=True):
            assert entry.logprob == pytest.approx(right.logprob, abs=1e-4)


WAYS: dict[str, dict[str, Any]] = {
    "batched": {},
    "chunked": {"max_num_batched_tokens": 9},
    "preempted": {"block_size": 4, "num_blocks": 30},
    "ahead": {"depth": 1},
    "far ahead, preempted": {"depth": 3, "block_size": 4, "num_blocks": 30},
    "radix": {"prefix_cache": "radix"},
    "nothing found": {"enable_prefix_caching": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_those_of_plain_decoding(
    llm: LLM, plain: list[Sequence], proposer: Any, way: str
) -> None:
    options = dict(WAYS[way])
    depth = options.pop("depth", 0)
    engine = llm.engine.fork(draft_proposer=proposer, **options)
    seqs, verified = run(engine, depth=depth)
    check(seqs, plain)
    num_drafted = sum(len(event.drafted) for event in verified)
    assert 0 < sum(event.num_accepted for event in verified) < num_drafted
    if "preempted" in way:
        assert sum(seq.num_preemptions for seq in seqs) > 0


def test_a_model_that_guesses_what_it_says_itself_is_always_right(
    llm: LLM, plain: list[Sequence]
) -> None:
    """At any temperature, because both draw with the same noise."""
    same = ModelProposer("tiny", num_tokens=4, num_blocks=128)
    pairs = list(zip(PROMPTS, PARAMS, strict=True))[:3]  # no penalty on the output alone
    seqs, verified = run(llm.engine.fork(draft_proposer=same), pairs)
    check(seqs, plain[:3])
    assert all(event.num_accepted == len(event.drafted) for event in verified)
    assert len(verified) < 3 * 24 / 4
    same.close()


def test_a_prefix_found_in_the_cache_changes_nothing(
    llm: LLM, plain: list[Sequence], proposer: Any
) -> None:
    engine = llm.engine.fork(draft_proposer=proposer)
    run(engine)
    seqs, _ = run(engine)
    check(seqs, plain)
    assert sum(seq.num_prefix_hit_tokens or 0 for seq in seqs) > 30


def test_a_fork_in_the_middle_goes_on_with_or_without_guesses(
    llm: LLM, plain: list[Sequence], proposer: Any
) -> None:
    engine = llm.engine.fork(draft_proposer=proposer)
    engine.add_requests(zip(PROMPTS, PARAMS, strict=True))
    for _ in range(3):
        engine.step()
    forks = [engine, engine.fork(), engine.fork(draft_proposer=None), engine.fork(block_size=8)]
    for fork in forks:
        seqs = sorted(fork.scheduler.running.values(), key=lambda seq: seq.seq_id)
        seqs += fork.scheduler.waiting.values()
        list(fork.run(0))
        check(seqs, plain)


def test_one_that_is_aborted_takes_nobody_with_it(
    llm: LLM, plain: list[Sequence], proposer: Any
) -> None:
    engine = llm.engine.fork(draft_proposer=proposer)
    seqs = engine.add_requests(zip(PROMPTS, PARAMS, strict=True))
    records = engine.run(1)
    for _ in range(3):
        next(records)
    engine.abort_request(seqs[1].seq_id)
    list(records)
    said = seqs[1].output_token_ids
    assert said == plain[1].output_token_ids[: len(said)]
    del seqs[1]
    check(seqs, [seq for seq in plain if seq is not plain[1]])


def test_sampling_that_changes_in_the_middle_changes_what_follows_alone(
    llm: LLM, proposer: Any
) -> None:
    hot = SamplingParams(temperature=1.5, seed=4, max_tokens=24, ignore_eos=True)
    ends: list[list[int]] = []
    for engine in (llm.engine.fork(), llm.engine.fork(draft_proposer=proposer)):
        seq = engine.add_requests([(RHYME, hot)])[0]
        while not seq.output_token_ids:
            engine.step()
        engine.update_request(seq.seq_id, temperature=0.0)
        list(engine.run(0))
        ends.append(seq.output_token_ids)
    assert ends[0] == ends[1]


def test_an_interrupt_while_the_small_model_guesses_loses_nothing(
    llm: LLM, plain: list[Sequence], small: ModelProposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = llm.engine.fork(draft_proposer=small)
    seqs = engine.add_requests(zip(PROMPTS, PARAMS, strict=True))
    for _ in range(2):
        engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(LLMEngine, "advance", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.step()
    assert not small.llm.engine.has_unfinished_requests()
    engine.scheduler.check_invariants()
    list(engine.run(0))
    check(seqs, plain)


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
