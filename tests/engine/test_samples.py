"""`SamplingParams(n=...)`: each answer is that of a request alone with its seed, at any depth.

The random proof is in tests/engine/test_protocol_proof.py; here is what a user sees.
"""

from typing import Any

import pytest

from nanovllm_edu.core.events import PromptShared
from nanovllm_edu.core.request.sampling_params import SamplingParams, sample_seed
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, RequestError
from nanovllm_edu.runners.checksum import expected_tokens
from tests.core.steps import Guesses
from tests.engine.engines import GREEDY, PROMPTS, engine, finish

PROMPT = [*range(1, 11)]
PARAMS = SamplingParams(n=4, seed=7, max_tokens=12)

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "radix": {"prefix_cache": "radix"},
    "no cache": {"enable_prefix_caching": False},
    "chunked": {"max_num_batched_tokens": 3},
    "not chunked": {"enable_chunked_prefill": False, "max_num_batched_tokens": 256},
    "one block size": {"block_size": 1, "num_blocks": 128},
    "preempted": {"num_blocks": 8, "max_model_len": 24},
    "guesses": {"draft_proposer": Guesses(3, 4)},
}


def alone(index: int, prompt: list[int] = PROMPT, params: SamplingParams = PARAMS) -> list[int]:
    """The tokens of a request with this answer's seed, and nobody beside it."""
    assert params.seed is not None
    return expected_tokens(prompt, params, sample_seed(params.seed, index))


def answers(llm: LLMEngine, params: SamplingParams = PARAMS, depth: int = 0) -> list[list[int]]:
    seqs = llm.add_requests([(PROMPT, params)])
    finish(llm, depth)
    return [seq.output_token_ids for seq in seqs]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_each_answer_is_that_of_a_request_alone_with_its_seed(way: str, depth: int) -> None:
    llm = engine(**WAYS[way])
    seqs = llm.add_requests([(PROMPT, PARAMS)])
    finish(llm, depth)
    assert (way == "preempted") == any(seq.num_preemptions for seq in seqs)
    found = [seq.output_token_ids for seq in seqs]
    assert found == [alone(i) for i in range(4)]
    assert len(set(map(tuple, found))) == 4


def test_the_first_answer_is_the_only_one_of_n_1() -> None:
    one = SamplingParams(seed=7, max_tokens=12)
    assert answers(engine(), one) == answers(engine())[:1]
    assert sample_seed(7, 0) == 7
    assert sample_seed(2**64 - 1, 1) < 2**64


def test_without_a_seed_each_answer_has_one_of_its_own() -> None:
    found = answers(engine(), SamplingParams(n=3, max_tokens=12))
    assert len(set(map(tuple, found))) == 3
    assert found == answers(engine(), SamplingParams(n=3, max_tokens=12)), "reproducible"


def test_greedy_answers_are_equal() -> None:
    found = answers(engine(), SamplingParams(n=3, temperature=0, max_tokens=6))
    assert found == [found[0]] * 3


def test_requests_with_and_without_answers_beside_each_other_keep_their_numbers() -> None:
    llm = engine()
    requests = [(PROMPTS[0], GREEDY), (PROMPT, PARAMS), (PROMPTS[1], GREEDY)]
    seqs = llm.add_requests(requests)
    assert [seq.seq_id for seq in seqs] == [0, 1, 2, 3, 4, 5]
    assert [seq.prompt_id for seq in seqs] == [None, 1, 1, 1, 1, None]
    assert llm.add_request(PROMPTS[2], PARAMS) == 6
    assert llm.add_request(PROMPTS[2]) == 10
    finish(llm)
    assert [seq.output_token_ids for seq in seqs[1:5]] == [alone(i) for i in range(4)]


@pytest.mark.parametrize("prefix_cache", ["hash", "radix"])
@pytest.mark.parametrize(("block_size", "num_blocks"), [(4, 250), (16, 63)])
def test_eight_answers_take_the_memory_of_one_prompt(
    prefix_cache: str, block_size: int, num_blocks: int
) -> None:
    """1,000 tokens: right after the prefill its blocks and no more; then one more for each answer.

    Each answer writes tokens of its own, and so needs a block of its own. In blocks of 4 tokens
    these are 3% more, in blocks of 16 they are 11%.
    """
    options = {"block_size": block_size, "num_blocks": 1600 // block_size}
    llm = engine(max_num_seqs=8, prefix_cache=prefix_cache, **options)
    llm.add_request(list(range(1000)), SamplingParams(n=8, seed=1, max_tokens=3))
    llm.step()
    assert llm.state().num_blocks("used") == num_blocks
    record = llm.step()
    assert len(record.spans) == record.num_tokens == 8, "the prompt is computed once"
    num_own = 8 if block_size == 4 else 7  # a prompt that fills its blocks: its next token, too
    assert llm.state().num_blocks("used") == num_blocks + num_own
    assert block_size == 16 or num_blocks + num_own <= 1.05 * num_blocks
    finish(llm)


def test_an_aborted_answer_leaves_the_others_alone() -> None:
    llm = engine()
    seqs = llm.add_requests([(PROMPT, PARAMS)])
    llm.abort_request(0)  # the one that would have computed the prompt
    llm.step()
    llm.step()
    llm.abort_request(2)
    finish(llm)
    assert [len(seq.output_token_ids) for seq in seqs] == [0, 12, 1, 12]
    assert seqs[3].output_token_ids == alone(3)


def test_an_answer_may_be_sampled_differently_by_itself() -> None:
    llm = engine()
    seqs = llm.add_requests([(PROMPT, PARAMS)])
    llm.update_request(2, temperature=0.0)
    finish(llm)
    assert seqs[1].output_token_ids == alone(1)
    assert (
        seqs[2].output_token_ids
        == expected_tokens(PROMPT, GREEDY, 0)[:6]
        + (expected_tokens(PROMPT, SamplingParams(temperature=0, max_tokens=12), 0)[6:])
    )


@pytest.mark.parametrize("changes", [{}, {"block_size": 8}, {"prefix_cache": "radix"}])
@pytest.mark.parametrize("num_steps", [0, 1, 2, 5])
def test_a_fork_goes_on_with_all_answers(changes: dict[str, Any], num_steps: int) -> None:
    llm = engine()
    llm.add_requests([(PROMPT, PARAMS)])
    for _ in range(num_steps):
        llm.step()
    twin = llm.fork(**changes)
    queues = twin.scheduler.queues
    seqs = [queues.sequence(seq_id) for seq_id in range(4)]
    finish(twin)
    assert [seq.output_token_ids for seq in seqs] == [alone(i) for i in range(4)]


def test_the_prompt_of_a_second_request_is_found_by_one_and_shared_by_all() -> None:
    llm = engine()
    answers(llm)
    llm.add_requests([(PROMPT, PARAMS)])
    records = finish(llm)
    assert records[0].num_tokens == 2, "the rest behind the two blocks that the cache holds"
    shared = [e for record in records for e in record.events if isinstance(e, PromptShared)]
    assert [event.num_tokens for event in shared] == [9] * 3


def test_more_answers_than_rows_are_refused_with_the_numbers() -> None:
    llm = engine(max_num_seqs=3)
    with pytest.raises(RequestError, match=r"n=4 answers .* max_num_seqs=3 .* raise max_num_seqs"):
        llm.add_requests([(PROMPT, GREEDY), (PROMPT, PARAMS)])
    assert llm.is_new and not llm.has_unfinished_requests()
    with pytest.raises(RequestError, match="n=2147483647"):
        llm.add_request(PROMPT, SamplingParams(n=2**31 - 1))


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, 2**31])
def test_what_is_no_number_of_answers_is_refused(n: Any) -> None:
    with pytest.raises(ConfigError, match=r"^n="):
        SamplingParams(n=n)


def test_none_is_one_answer() -> None:
    assert SamplingParams(n=None) == SamplingParams()  # type: ignore[arg-type]
