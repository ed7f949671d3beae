"""A request's tokens are its own, whoever steps; leaving the block aborts what is not finished."""

from itertools import pairwise
from threading import Thread

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.requests import Answer, Request, Requests
from nanovllm_edu.text_judge import TextJudge
from tests.core.steps import Guesses
from tests.engine.engines import GREEDY, LONG, PROMPTS, Letters, engine, right_tokens


def request_of(seq: Sequence) -> Request:
    """What its caller sees of a sequence."""
    judge = TextJudge(Letters(), seq.params, seq.ending_token_ids)
    return Request([Answer(seq, judge)], None, 0.0)


def added(llm: LLMEngine, requests: Requests, params: SamplingParams = GREEDY) -> list[Request]:
    """The four prompts as requests of one call."""
    seqs = llm.add_requests([(prompt, params) for prompt in PROMPTS])
    mine = [request_of(seq) for seq in seqs]
    requests.listed += mine
    return mine


def finish(requests: Requests) -> list[list[int]]:
    while not requests.are_finished:
        requests.advance()
    return [output.token_ids for output in requests.outputs()]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_outputs_are_in_the_order_of_the_requests(depth: int) -> None:
    llm = engine()
    with Requests(llm, depth) as requests:
        added(llm, requests)
        assert finish(requests) == right_tokens()
    outputs = requests.outputs()
    assert [output.request_id for output in outputs] == [0, 1, 2, 3]
    assert [output.prompt_token_ids for output in outputs] == PROMPTS
    assert {output.finish_reason for output in outputs} == {"length"}
    assert outputs == requests.outputs()  # asked again, they are the same


def test_whoever_steps_moves_everybody_on_and_no_token_is_lost() -> None:
    llm = engine()
    with Requests(llm, 0) as one, Requests(llm, 1) as other:
        added(llm, one)
        added(llm, other)
        llm.step()
        one.advance()
        other.advance()
        llm.step()
        assert finish(other) == right_tokens()
        assert finish(one) == right_tokens()


def test_a_request_gives_each_token_once_and_the_reason_with_the_last() -> None:
    llm = engine()
    with Requests(llm, 0) as requests:
        request = added(llm, requests)[0]
        assert request.read() == []
        pieces = []
        while not request.is_finished:
            requests.advance()
            pieces += request.read()
        assert request.read() == []
    assert [piece.token_id for piece in pieces] == right_tokens()[0]
    assert [piece.finish_reason for piece in pieces] == [None] * 5 + ["length"]
    assert "".join(piece.text for piece in pieces) == request.output().text


def test_several_tokens_of_one_step_are_read_one_by_one() -> None:
    right = right_tokens()[0]
    llm = engine(draft_proposer=Guesses(*right[1:3]))
    (seq,) = llm.add_requests([(PROMPTS[0], GREEDY)])
    request = request_of(seq)
    llm.step()
    request.read()
    llm.step()
    assert [piece.token_id for piece in request.read()] == right[1:4]
    assert len(seq.token_times) == 4
    assert len(set(seq.token_times[1:])) == 1  # they came together


def test_leaving_early_aborts_what_is_not_finished_and_nothing_else() -> None:
    llm = engine()
    (stranger,) = llm.add_requests([([4, 4], LONG)])
    with Requests(llm, 1) as requests:
        mine = added(llm, requests, LONG)
        requests.advance()
        requests.advance()
    assert [request.answers[0].seq.finish_reason for request in mine] == ["abort"] * 4
    assert llm.unfinished_seq_ids() == {stranger.seq_id}
    assert [output.finish_reason for output in requests.outputs()] == ["abort"] * 4
    expected = [tokens[:2] for tokens in right_tokens(params=LONG)]
    assert [output.token_ids for output in requests.outputs()] == expected
    llm.scheduler.check_invariants()


def test_an_error_on_the_way_aborts_them_too_and_goes_on() -> None:
    llm = engine()

    def fail() -> None:
        with Requests(llm, 0) as requests:
            added(llm, requests)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not llm.has_unfinished_requests()


def test_leaving_after_the_engine_was_closed_is_quiet() -> None:
    llm = engine()
    with Requests(llm, 0) as requests:
        added(llm, requests)
        llm.close()
    assert [output.token_ids for output in requests.outputs()] == [[]] * 4


def test_an_output_has_the_times_of_its_tokens_and_what_was_cached() -> None:
    llm = engine()
    for _ in range(2):
        with Requests(llm, 0) as requests:
            added(llm, requests)
            finish(requests)
    output = requests.outputs()[0]
    times = requests.answers[0].seq.token_times
    assert output.num_cached_tokens == 4
    assert output.metrics.time_to_first_token == times[0]
    assert output.metrics.inter_token_times == tuple(b - a for a, b in pairwise(times))
    assert output.logprobs is None


def test_several_threads_share_one_batch_and_each_gets_its_own() -> None:
    llm = engine(max_num_seqs=8)
    found: dict[int, list[list[int]]] = {}

    def serve(number: int) -> None:
        with Requests(llm, 1) as requests:
            added(llm, requests, LONG)
            found[number] = finish(requests)

    threads = [Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == dict.fromkeys(range(4), right_tokens(params=LONG))
    assert not llm.has_unfinished_requests()
