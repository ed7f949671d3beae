"""What may not be said is not said: options that edit single logits, on the model in the box."""

from collections.abc import Iterator
from typing import Any

import pytest

from nanovllm_edu import LLM, NgramProposer, SamplingParams
from nanovllm_edu.errors import RequestError

PROMPT = "Once upon a time there was a little girl. One day"


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(block_size=4, num_blocks=96) as llm:
        yield llm


def say(llm: LLM, **options: Any) -> Any:
    params = SamplingParams(**{"temperature": 0, "max_tokens": 24, **options})
    return llm.generate(PROMPT, params, use_tqdm=False)[0]


def test_only_allowed_tokens_are_said(llm: LLM) -> None:
    allowed = llm.tokenizer.encode(" the cat and a dog ran")
    for temperature in (0, 1.5):
        said = say(llm, allowed_token_ids=allowed, temperature=temperature, seed=1)
        assert set(said.token_ids) <= set(allowed)
        assert len(set(said.token_ids)) > 1


def test_a_bias_brings_a_token_or_keeps_it_away(llm: LLM) -> None:
    plain = say(llm, ignore_eos=True).token_ids
    forced = say(llm, logit_bias={300: 100}, ignore_eos=True).token_ids
    assert forced == [300] * 24
    assert plain[2] not in say(llm, logit_bias={plain[2]: -100}, ignore_eos=True).token_ids


def test_words_that_are_bad_do_not_come(llm: LLM) -> None:
    plain = say(llm, ignore_eos=True)
    words = plain.text.translate(dict.fromkeys(map(ord, ',."'), " ")).split()
    said = say(llm, bad_words=words, ignore_eos=True)
    runs = [
        llm.tokenizer.encode(text, add_special_tokens=False)
        for word in words
        for text in (word, f" {word}")
    ]
    assert any(len(run) > 1 for run in runs)
    assert said.token_ids != plain.token_ids
    text = f" {' '.join(map(str, said.token_ids))} "
    for word, run in zip([w for w in words for _ in range(2)], runs, strict=True):
        alone = llm.tokenizer.encode(word, add_special_tokens=False)
        if len(run) == len(alone):  # a longer run after a space is vLLM's to let pass
            assert f" {' '.join(map(str, run))} " not in text


def test_nothing_ends_before_min_tokens(llm: LLM) -> None:
    plain = say(llm, ignore_eos=True).token_ids
    stop = plain[3]
    assert len(say(llm, stop_token_ids=[stop]).token_ids) == plain.index(stop) + 1
    said = say(llm, stop_token_ids=[stop], min_tokens=12).token_ids
    assert len(said) >= 12
    assert stop not in said[:12]
    assert not llm.engine.runner.eos_token_ids & set(said[:12])


OPTIONS: list[dict[str, Any]] = [
    {"bad_words": ["was", "little girl", "day"], "min_tokens": 10, "ignore_eos": False},
    {"logit_bias": {300: 5, 301: -5}, "temperature": 0.8, "seed": 3},
    {"allowed_token_ids": range(300, 900), "temperature": 1.0, "seed": 4},
    {"bad_words": ["the"], "repetition_penalty": 1.2, "temperature": 0.7, "seed": 5},
]


@pytest.mark.parametrize(
    "way",
    [
        {"draft_proposer": NgramProposer(min_match=1)},
        {"num_blocks": 20},
        {"max_num_batched_tokens": 7},
        {"draft_proposer": NgramProposer(min_match=1), "num_blocks": 20},
    ],
    ids=["guessed at", "preempted", "chunked", "guessed at, preempted"],
)
def test_the_tokens_do_not_depend_on_how(llm: LLM, way: dict[str, Any]) -> None:
    common = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}
    params = [SamplingParams(**{**common, **options}) for options in OPTIONS]
    alone = [llm.generate(PROMPT, one, use_tqdm=False)[0].token_ids for one in params]
    engine = llm.engine.fork(**way)
    seqs = engine.add_requests((PROMPT, one) for one in params)
    list(engine.run(1))
    assert [seq.output_token_ids for seq in seqs] == alone
    if "num_blocks" in way:
        assert sum(seq.num_preemptions for seq in seqs) > 0


def test_a_token_that_does_not_exist_is_named(llm: LLM) -> None:
    with pytest.raises(RequestError, match=r"logit_bias holds 999999, which is not in \[0, "):
        say(llm, logit_bias={999_999: 1.0})
    assert not llm.engine.has_unfinished_requests()
