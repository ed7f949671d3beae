from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, RequestError
from nanovllm_edu.intake import Intake, updated
from nanovllm_edu.prompt import read_prompt
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.text_judge import TextEnd
from tests.engine.engines import Letters


def made(intake: Intake, seq_id: int, prompt: Any, params: Any = None) -> Sequence:
    """The sequence of a request."""
    (seq,) = intake.sequences(seq_id, *intake.read([(prompt, params)])[0])
    return seq


def test_a_request_becomes_a_sequence() -> None:
    seq = made(Intake(Letters(), 128, seed=0), 3, "ab", SamplingParams(max_tokens=4))
    assert (seq.seq_id, list(seq.token_ids), seq.num_prompt_tokens) == (3, [97, 98], 2)
    assert seq.max_num_tokens == 6


def test_a_prompt_that_was_read_can_be_added_twice() -> None:
    intake = Intake(Letters(), 128, seed=0)
    read = read_prompt("ab", Letters(), 128)
    first, second = made(intake, 0, read), made(intake, 1, read)
    first.token_ids.append(3)
    assert (list(second.token_ids), list(read.token_ids)) == ([97, 98], [97, 98])


def test_answers_to_one_prompt_have_tokens_of_their_own() -> None:
    intake = Intake(Letters(), 128, seed=0)
    read = intake.read([("ab", SamplingParams(n=3))])
    first, second, third = intake.sequences(0, *read[0])
    first.token_ids.append(3)
    second.token_ids.append(4)
    assert list(third.token_ids) == [97, 98]


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
        Intake(None, 9, 0).read([(prompt, params)])


def test_a_stop_string_is_found_with_its_last_token_and_not_in_the_prompt() -> None:
    intake = Intake(Letters(), 128, 0)
    judge = intake.judge(made(intake, 0, "END", SamplingParams(stop=("END", "ND."))))
    assert judge.add(map(ord, "x EN")) is None
    end = judge.add(map(ord, "Dx"))
    assert end is not None
    assert (end.num_tokens, end.stop) == (1, "END")


def test_without_stop_strings_nobody_judges() -> None:
    engine = LLMEngine(ChecksumRunner(4, 4, vocab_size=128), tokenizer=Letters())
    seqs = engine.add_requests([("ab", None), ("ab", SamplingParams(stop="END"))])
    assert [seq.judge is not None for seq in seqs] == [False, True]


def test_case_1_the_judge_knows_what_the_request_asks_for() -> None:
    intake = Intake(Letters(), 128, 0)
    seq = made(intake, 0, "a", SamplingParams(stop="END", stop_token_ids=[33]))
    judge = intake.judge(seq)
    assert judge.add(intake.tokenizer.encode("one END")) == TextEnd(7, "END", None, "END")
    assert judge.text == "one "
    assert intake.judge(seq).add(intake.tokenizer.encode("oh!")) == TextEnd(3, None, 33, 33)


@pytest.mark.parametrize(
    "options",
    [
        {"stop_token_ids": [9]},
        {"allowed_token_ids": [1, 9]},
        {"logit_bias": {1: 2.0, 9: -1.0}},
        {"bad_words_token_ids": [[1], [2, 9]]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_token_that_the_model_does_not_have_is_an_error(options: Any) -> None:
    name = next(iter(options))
    with pytest.raises(RequestError, match=rf"{name} holds 9, which is not in \[0, 9\)"):
        Intake(None, 9, 0).read([([1], SamplingParams(**options))])


def test_bad_words_become_runs_of_tokens() -> None:
    class Words(Letters):
        """Knows two words; elsewhere a letter is a token."""

        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            assert not add_special_tokens
            return {"cat": [200], " cat": [201]}.get(text) or super().encode(text)

    params = SamplingParams(bad_words=["cat", " ab"], bad_words_token_ids=[[5]])
    read = Intake(Words(), 300, 0).read([([1], params), ([2], params), ([3], None)])
    (_, first), (_, second), (_, third) = read
    assert first.bad_words_token_ids == ((5,), (200,), (201,), (97, 98))
    assert params.bad_words_token_ids == ((5,),)
    assert second is first, "what requests share is made ready once"
    assert third == SamplingParams()


def test_words_need_a_tokenizer_and_letters() -> None:
    with pytest.raises(RequestError, match="use bad_words_token_ids"):
        Intake(None, 9, 0).read([([1], SamplingParams(bad_words=["cat"]))])

    class Plain(Letters):
        def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
            return super().encode(text)

    with pytest.raises(RequestError, match="holds '  ', which is no token"):
        Intake(Plain(), 300, 0).read([([1], SamplingParams(bad_words=["  "]))])


def test_only_how_to_sample_may_change() -> None:
    params = SamplingParams(max_tokens=9)
    assert updated(params, {"top_k": 3}) == SamplingParams(max_tokens=9, top_k=3)
    with pytest.raises(ConfigError, match=r"cannot change \['max_tokens'\]; it can change"):
        updated(params, {"max_tokens": 3})
