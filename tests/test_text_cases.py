"""Issue 13's cases of text and stops, through `LLM` and the model in the box."""

import numpy as np
import pytest
from torch import tensor

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.errors import RequestError

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


@pytest.mark.parametrize(
    "params",
    [
        P(30, seed=1, temperature=0.9),
        P(30, skip_special_tokens=False, stop=["<|im_end|>", "\n"]),
        P(30, stop=["e"], include_stop_str_in_output=True, min_tokens=7),
        P(30, seed=2, temperature=1.5, skip_special_tokens=False),
        P(30, seed=3, temperature=1.5, stop=["a b", " the", "."], ignore_eos=False),
    ],
    ids=["plain", "special", "included", "hot", "stops"],
)
def test_a_stream_joined_is_what_generate_returns(llm: LLM, params: SamplingParams) -> None:
    prompts = ["Once upon a time", "What is a token?", "The"]
    whole = llm.generate(prompts, params, use_tqdm=False)
    pieces = list(llm.stream(prompts, params))
    ids = sorted({piece.request_id for piece in pieces})
    for seq_id, output in zip(ids, whole, strict=True):
        joined = "".join(piece.text for piece in pieces if piece.request_id == seq_id)
        assert joined == output.text
        if not params.stop and params.ignore_eos:
            skip = params.skip_special_tokens
            decoded = llm.tokenizer.decode(output.token_ids, skip_special_tokens=skip)
            assert joined == decoded
        for stop in params.stop:
            is_kept = output.stop_reason == stop and params.include_stop_str_in_output
            assert is_kept or params.min_tokens or stop not in output.text


def test_case_21_a_stop_string_that_is_held_back_costs_a_request_little(llm: LLM) -> None:
    stop = llm.generate("Once", P(60), use_tqdm=False)[0].text + "!"
    (output,) = llm.generate("Once", P(60, stop=stop), use_tqdm=False)
    assert output.text == stop[:-1]


@pytest.mark.parametrize("wrong", [0, "", {}, [0]])
def test_case_20_what_are_no_sampling_params_is_refused(llm: LLM, wrong) -> None:
    with pytest.raises(RequestError):
        llm.generate("Once", wrong, use_tqdm=False)


def test_vllms_spellings_of_prompts_and_conversations(llm: LLM) -> None:
    ids = llm.tokenizer.encode("Once")
    forms = ["Once", {"prompt": "Once"}, {"prompt_token_ids": ids}, np.array(ids), tensor(ids)]
    outputs = [llm.generate(form, P(3), use_tqdm=False)[0] for form in forms]
    outputs += llm.generate(forms, P(3), use_tqdm=False)
    assert len({tuple(output.outputs[0].token_ids) for output in outputs}) == 1
    begun = [*QUESTION, {"role": "assistant", "content": "A token is"}]
    (output,) = llm.chat(
        begun,
        P(3),
        use_tqdm=False,
        add_generation_prompt=False,
        continue_final_message=True,
        chat_template_kwargs={"enable_thinking": False},
    )
    assert llm.tokenizer.decode(output.prompt_token_ids).endswith("A token is")
