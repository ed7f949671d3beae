"""Outputs in vLLM's shape, with the short forms beside it."""

import json

from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.outputs import RequestMetrics, RequestOutput


def output(**changes) -> RequestOutput:
    values = {
        "request_id": 3,
        "prompt": "a",
        "prompt_token_ids": [1],
        "text": "b",
        "token_ids": [2, 5],
        "finish_reason": "stop",
        "logprobs": None,
        "num_cached_tokens": 0,
        "metrics": RequestMetrics(0.1, (0.2,)),
        "stop_reason": 5,
    }
    return RequestOutput(**(values | changes))


def test_both_spellings_say_the_same() -> None:
    short = output()
    (one,) = short.outputs
    assert one.index == 0
    for name in ("text", "token_ids", "finish_reason", "stop_reason", "logprobs"):
        assert getattr(one, name) == getattr(short, name)
    assert (one.text, one.token_ids, one.stop_reason) == ("b", [2, 5], 5)
    assert one.finished() and short.finished


def test_a_request_that_goes_on_is_not_finished() -> None:
    going = output(finish_reason=None)
    assert not going.finished and not going.outputs[0].finished()


def test_the_logprobs_of_all_tokens_add_up() -> None:
    assert output().outputs[0].cumulative_logprob is None
    entries = [TokenLogprobs(2, -0.5, ()), TokenLogprobs(5, -1.0, ())]
    assert output(logprobs=entries).outputs[0].cumulative_logprob == -1.5


def test_as_a_dictionary_it_is_json() -> None:
    assert json.loads(json.dumps(output().to_dict()))["stop_reason"] == 5
