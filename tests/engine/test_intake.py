from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.errors import ConfigError, RequestError
from nanovllm_edu.intake import Intake, updated
from nanovllm_edu.text_judge import TextEnd
from tests.engine.engines import Letters


def made(intake: Intake, seq_id: int, prompt: Any, params: Any = None) -> Sequence:
    """The sequence of a request."""
    return intake.sequence(seq_id, *intake.read(prompt, params))


def test_a_request_becomes_a_sequence() -> None:
    seq = made(Intake(Letters(), 128, seed=0), 3, "ab", SamplingParams(max_tokens=4))
    assert (seq.seq_id, list(seq.token_ids), seq.num_prompt_tokens) == (3, [97, 98], 2)
    assert seq.max_num_tokens == 6


def test_without_a_seed_it_follows_from_the_engines_and_the_number() -> None:
    seeds = [
        made(Intake(None, 9, seed), seq_id, [1]).seed for seed, seq_id in ((0, 0), (0, 1), (1, 0))
    ]
    assert len(set(seeds)) == 3
    assert made(Intake(None, 9, 5), 0, [1], SamplingParams(seed=7)).seed == 7


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ("ab", None, "no tokenizer"),
        ([1], {"max_tokens": 3}, "not a SamplingParams object"),
        ([1], SamplingParams(stop=("x",)), "use stop_token_ids"),
    ],
)
def test_what_it_cannot_take_is_an_error(prompt: Any, params: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Intake(None, 9, 0).read(prompt, params)


def test_a_stop_string_is_found_with_its_last_token_and_not_in_the_prompt() -> None:
    intake = Intake(Letters(), 128, 0)
    judge = intake.judge(made(intake, 0, "END", SamplingParams(stop=("END", "ND."))))
    assert judge is not None
    assert judge.add(map(ord, "x EN")) is None
    end = judge.add(map(ord, "Dx"))
    assert end is not None
    assert (end.num_tokens, end.stop) == (1, "END")


def test_without_stop_strings_nobody_judges() -> None:
    intake = Intake(Letters(), 128, 0)
    assert intake.judge(made(intake, 0, "ab")) is None


def test_case_1_the_judge_knows_what_the_request_asks_for() -> None:
    intake = Intake(Letters(), 128, 0)
    seq = made(intake, 0, "a", SamplingParams(stop="END", stop_token_ids=[33]))
    judge = intake.judge(seq)
    assert judge.add(intake.tokenizer.encode("one END")) == TextEnd(7, "END", None, "END")
    assert judge.text == "one "
    assert intake.judge(seq).add(intake.tokenizer.encode("oh!")) == TextEnd(3, None, 33, 33)


def test_a_stop_token_that_the_model_does_not_have_is_an_error() -> None:
    with pytest.raises(RequestError, match=r"stop_token_ids holds 9, which is not in \[0, 9\)"):
        Intake(None, 9, 0).read([1], SamplingParams(stop_token_ids=[9]))


def test_only_how_to_sample_may_change() -> None:
    params = SamplingParams(max_tokens=9)
    assert updated(params, {"top_k": 3}) == SamplingParams(max_tokens=9, top_k=3)
    with pytest.raises(ConfigError, match=r"cannot change \['max_tokens'\]; it can change"):
        updated(params, {"max_tokens": 3})
