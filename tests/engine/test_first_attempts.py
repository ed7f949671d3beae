"""A learner's policy or proposer may be wrong in any way: an error, but never a wrong token."""

from typing import Any

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import DraftFailed
from nanovllm_edu.core.memory.eviction import LRU
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from tests.proof.books import check_books, check_idle

GREEDY = SamplingParams(temperature=0.0, max_tokens=10)
PROMPTS = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 6], [2, 4, 6, 8, 1, 3]]


class FailsAtTimes(LRU):
    """Raises at every third block that it should name, before it lets go of it."""

    num_asked = 0

    def pop(self) -> int:
        self._fail()
        return super().pop()

    def discard(self, block_id: int) -> None:
        self._fail()
        super().discard(block_id)

    def _fail(self) -> None:
        FailsAtTimes.num_asked += 1
        if FailsAtTimes.num_asked % 3 == 0:
            raise ZeroDivisionError("a policy's own mistake")


class NamesAnyBlock(LRU):
    def pop(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter([0])


def _engine(**options: Any) -> LLMEngine:
    return LLMEngine(ChecksumRunner(8, 2), EngineConfig(block_size=2, num_blocks=8, **options))


def _finish(engine: LLMEngine) -> int:
    """Steps to the end, over all errors; returns how many there were."""
    num_errors = 0
    while engine.has_unfinished_requests():
        try:
            engine.advance(1)
        except ZeroDivisionError:
            num_errors += 1
        check_books(engine)
        assert num_errors < 500
    while engine.num_steps_in_flight:
        engine.step()
    check_idle(engine)
    return num_errors


@pytest.mark.parametrize("cache", ["hash", "radix"])
def test_an_eviction_policy_that_raises_in_the_middle_of_a_plan(cache: str) -> None:
    engine = _engine(prefix_cache=cache, eviction_policy=FailsAtTimes, max_model_len=16)
    num_errors = 0
    for prompt in PROMPTS * 4:
        seqs = engine.add_requests([(prompt, GREEDY), (prompt[::-1], GREEDY)])
        num_errors += _finish(engine)
        for seq in seqs:
            tokens = list(seq.token_ids[: seq.num_prompt_tokens])
            assert seq.output_token_ids == expected_tokens(tokens, GREEDY, 0, max_model_len=16)
    assert num_errors > 3


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("hash", "block 0, which is used"),
        ("radix", "block 0, which is used|names no block that nothing"),
    ],
)
def test_an_eviction_policy_that_names_a_wrong_block_is_told_so(cache: str, message: str) -> None:
    engine = _engine(prefix_cache=cache, eviction_policy=NamesAnyBlock)
    for prompt in PROMPTS * 3:
        engine.add_request(prompt, GREEDY)
    with pytest.raises(ConfigError, match=message):
        list(engine.run(0))


class Says:
    def __init__(self, guesses: Any) -> None:
        self.guesses = guesses

    def propose(self, token_ids: Any, num_tokens: int) -> Any:
        if isinstance(token_ids, list) or hasattr(token_ids, "append"):
            token_ids.append(7)  # what it is given is its own
        return self.guesses() if callable(self.guesses) else self.guesses


def endless() -> Any:
    while True:
        yield 5


@pytest.mark.parametrize("guesses", [[-1], [1000], [2**70], ["5"], [1.5], [None], 7, None])
def test_a_guess_that_is_no_token_never_reaches_the_device(guesses: Any) -> None:
    engine = _engine(draft_proposer=Says(guesses))
    (seq,) = engine.add_requests([(PROMPTS[0], GREEDY)])
    records = list(engine.run(0))
    assert seq.output_token_ids == expected_tokens(PROMPTS[0], GREEDY, 0)
    assert all(0 <= t < 1000 for r in records for s in r.spans for t in s.drafted)
    assert any(isinstance(event, DraftFailed) for record in records for event in record.events)


def test_a_proposer_that_never_stops_guessing_is_cut_off() -> None:
    engine = _engine(draft_proposer=Says(endless))
    (seq,) = engine.add_requests([(PROMPTS[0], GREEDY)])
    list(engine.run(0))
    assert seq.output_token_ids == expected_tokens(PROMPTS[0], GREEDY, 0)
