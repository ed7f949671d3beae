"""Issue 13's cases of text and stops, through `LLM` and the model in the box."""

import pytest

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.errors import RequestError

WAITS = pytest.mark.xfail(strict=True, reason="until LLM asks the judge for its text")
QUESTION = [{"role": "user", "content": "What is a token?"}]


def P(num_tokens: int, **options) -> SamplingParams:
    return SamplingParams(
        **{"temperature": 0, "max_tokens": num_tokens, "ignore_eos": True} | options
    )


@pytest.fixture(scope="module")
def llm():
    with LLM(block_size=8, num_blocks=64, max_num_seqs=8) as llm:
        yield llm


def test_case_1_a_special_token_that_is_shown_ends_the_request(llm: LLM) -> None:
    params = P(40, skip_special_tokens=False, stop=["<|im_end|>"])
    (output,) = llm.chat(QUESTION, params, use_tqdm=False)
    assert output.finish_reason == "stop"
    assert len(output.token_ids) < 40
    shown = llm.tokenizer.decode(output.token_ids, skip_special_tokens=False)
    assert output.text + "<|im_end|>" == shown


@WAITS
@pytest.mark.parametrize("include", [False, True])
def test_case_3_the_text_of_an_ending_token_is_left_out(llm: LLM, include: bool) -> None:
    free = llm.chat(QUESTION, P(12), use_tqdm=False)[0].token_ids
    end = free[8]
    params = P(12, stop_token_ids=[end], include_stop_str_in_output=include)
    (output,) = llm.chat(QUESTION, params, use_tqdm=False)
    assert output.token_ids == free[: free.index(end) + 1]
    kept = output.token_ids if include else output.token_ids[:-1]
    assert output.text == llm.tokenizer.decode(kept)
    assert (output.finish_reason, output.stop_reason) == ("stop", end)
    pieces = list(llm.stream(output.prompt_token_ids, params))
    assert "".join(piece.text for piece in pieces) == output.text


def test_case_4_parts_of_a_message_are_joined(llm: LLM) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is a token?"}]}]
    one, other = (llm.chat(c, P(4), use_tqdm=False)[0] for c in (QUESTION, parts))
    assert one.prompt_token_ids == other.prompt_token_ids


def test_case_7_a_broken_prompt_is_a_typed_error_and_leaves_nothing(llm: LLM) -> None:
    with pytest.raises(RequestError, match="half of a character"):
        llm.generate(["Once upon a time", "\ud83d broken"], P(4), use_tqdm=False)
    assert not llm.engine.has_unfinished_requests()


@pytest.mark.parametrize("messages", ["hello", 3, ["hello"]])
def test_chat_says_what_a_conversation_is(llm: LLM, messages) -> None:
    if messages == 3:
        pytest.xfail("until LLM.chat calls as_conversations")
    with pytest.raises(RequestError, match="is no conversation"):
        llm.chat(messages, P(4), use_tqdm=False)


def test_the_end_of_the_model_is_the_end_without_max_tokens(llm: LLM) -> None:
    params = SamplingParams(temperature=0, max_tokens=None, ignore_eos=True)
    (output,) = llm.generate([[5] * 500], params, use_tqdm=False)
    assert output.finish_reason == "length"
    assert len(output.token_ids) == 12  # of the 512 that the cache holds


def test_min_tokens_is_kept_although_a_stop_string_comes_earlier(llm: LLM) -> None:
    free = llm.chat(QUESTION, P(20), use_tqdm=False)[0]
    stop = free.text.split()[1]
    ended = llm.chat(QUESTION, P(20, stop=stop), use_tqdm=False)[0]
    longer = llm.chat(QUESTION, P(20, stop=stop, min_tokens=15), use_tqdm=False)[0]
    assert len(ended.token_ids) < 15 <= len(longer.token_ids)
