"""The public API on the bundled model: text in, text out."""

import json
import re
from dataclasses import replace
from threading import Thread

import pytest

from nanovllm_edu import LLM, SamplingParams, sample_seed
from nanovllm_edu.errors import ConfigError, ModelLoadError, PromptTooLongError, RequestError
from nanovllm_edu.native import gemm

GREEDY = SamplingParams(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def llm():
    with LLM(block_size=8, num_blocks=64, max_num_seqs=8) as llm:
        yield llm


def test_generate_keeps_the_order_of_prompts(llm: LLM) -> None:
    together = llm.generate(["One day", "What is a token?", "Hello"], GREEDY, use_tqdm=False)
    alone = [llm.generate(o.prompt, GREEDY, use_tqdm=False)[0] for o in together]
    assert [o.token_ids for o in together] == [o.token_ids for o in alone]
    assert together[0].outputs[0].text == together[0].text  # vLLM's spelling


def test_outputs_say_what_happened(llm: LLM) -> None:
    prompt = "A long enough prompt that fills a few blocks of eight tokens each, twice."
    first, again = (llm.generate(prompt, GREEDY, use_tqdm=False)[0] for _ in range(2))
    assert again.num_cached_tokens >= 8
    assert again.token_ids == first.token_ids
    assert again.prompt_token_ids == llm.tokenizer.encode(prompt)
    assert again.finish_reason in ("stop", "length")
    assert again.metrics.time_to_first_token > 0
    assert len(again.metrics.inter_token_times) == len(again.token_ids) - 1


def test_text_is_the_decoded_tokens(llm: LLM) -> None:
    output = llm.generate("Once", SamplingParams(seed=3, max_tokens=30), use_tqdm=False)[0]
    assert output.text == llm.tokenizer.decode(output.token_ids)


def test_stream_adds_up_to_generate(llm: LLM) -> None:
    params = SamplingParams(seed=5, max_tokens=20)
    whole = llm.generate(["One", "Two"], params, use_tqdm=False)
    pieces = list(llm.stream(["One", "Two"], params))
    ids = sorted({piece.request_id for piece in pieces})
    for seq_id, output in zip(ids, whole, strict=True):
        mine = [piece for piece in pieces if piece.request_id == seq_id]
        assert "".join(piece.text for piece in mine) == output.text
        assert [piece.token_id for piece in mine] == output.token_ids
        assert mine[-1].finish_reason == output.finish_reason


def test_leaving_a_stream_early_aborts_its_requests(llm: LLM) -> None:
    stream = llm.stream("One", GREEDY)
    next(stream)
    stream.close()
    assert not llm.engine.has_unfinished_requests()
    llm.engine.scheduler.check_invariants()


def test_other_calls_may_come_between_the_tokens_of_a_stream(llm: LLM) -> None:
    right = [o.token_ids for o in llm.generate(["One", "Two"], GREEDY, use_tqdm=False)]
    stream = llm.stream("One", GREEDY)
    tokens = [next(stream).token_id]
    assert llm.generate("Two", GREEDY, use_tqdm=False)[0].token_ids == right[1]
    llm.engine.step()  # by hand
    tokens += [piece.token_id for piece in stream]
    assert tokens == right[0]


def test_several_threads_may_generate_on_one_engine(llm: LLM) -> None:
    prompts = ["One day", "What is a token?", "Hello"]
    right = [llm.generate(prompt, GREEDY, use_tqdm=False)[0].token_ids for prompt in prompts]
    found: dict[str, list[int]] = {}

    def work(prompt: str) -> None:
        found[prompt] = llm.generate(prompt, GREEDY, use_tqdm=False)[0].token_ids

    threads = [Thread(target=work, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == dict(zip(prompts, right, strict=True))


def test_abort_all_ends_everybodys_requests(llm: LLM) -> None:
    stream = llm.stream("One", GREEDY)
    next(stream)
    llm.engine.add_request([5, 6, 7], GREEDY)
    llm.abort_all()
    assert not llm.engine.has_unfinished_requests()
    assert list(stream) == []
    llm.engine.scheduler.check_invariants()


def test_what_an_interrupted_call_had_come_to_can_be_asked_for(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = llm.generate("One", GREEDY, use_tqdm=False)[0].token_ids
    advance, count = llm.engine.advance, iter(range(9))

    def interrupted(depth: int) -> object:
        if next(count) == 3:
            raise KeyboardInterrupt
        return advance(depth)

    monkeypatch.setattr(llm.engine, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        llm.generate("One", GREEDY, use_tqdm=False)
    (output,) = llm.interrupted()
    assert (output.token_ids, output.finish_reason) == (right[:3], "abort")
    assert not llm.engine.has_unfinished_requests()
    monkeypatch.undo()
    llm.generate("One", GREEDY, use_tqdm=False)
    assert llm.interrupted() == [output]  # until another call fails


def test_chat_applies_the_template(llm: LLM) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    one = llm.chat(messages, GREEDY, use_tqdm=False)[0]
    many = llm.chat([messages, messages], GREEDY, use_tqdm=False)
    assert one.token_ids == many[0].token_ids == many[1].token_ids
    text = llm.tokenizer.decode(one.prompt_token_ids, skip_special_tokens=False)
    assert "user" in text
    assert "Hello" in text


def test_stop_string(llm: LLM) -> None:
    free = llm.generate("Once", SamplingParams(seed=3, max_tokens=30), use_tqdm=False)[0]
    stop = free.text[len(free.text) // 2 :][:3]
    params = SamplingParams(seed=3, max_tokens=30, stop=(stop,))
    output = llm.generate("Once", params, use_tqdm=False)[0]
    assert output.finish_reason == "stop"
    assert output.text == free.text[: free.text.find(stop)]


def test_logprobs(llm: LLM) -> None:
    params = SamplingParams(temperature=0, max_tokens=4, logprobs=3)
    output = llm.generate("Once", params, use_tqdm=False)[0]
    assert output.logprobs is not None
    assert [entry.token_id for entry in output.logprobs] == output.token_ids
    for entry in output.logprobs:
        assert len(entry.top) == 3
        assert entry.top[0] == (entry.token_id, entry.logprob)  # greedy: the likeliest


def test_one_bad_prompt_adds_nothing(llm: LLM) -> None:
    with pytest.raises(RequestError, match="prompt is empty"):
        llm.generate(["fine", []], GREEDY, use_tqdm=False)
    assert not llm.engine.has_unfinished_requests()
    with pytest.raises(PromptTooLongError, match="max_model_len=512"):
        llm.generate([[1] * 600], GREEDY, use_tqdm=False)
    with pytest.raises(RequestError, match="2 sampling_params for 1 prompts"):
        llm.generate(["fine"], [GREEDY, GREEDY], use_tqdm=False)
    with pytest.raises(RequestError, match="neither text"):
        llm.generate(3, GREEDY, use_tqdm=False)
    with pytest.raises(RequestError, match="conversation is empty"):
        llm.chat([[]], GREEDY, use_tqdm=False)
    assert llm.generate("fine", GREEDY, use_tqdm=False)[0].token_ids


def test_misspelt_options_and_models_are_errors() -> None:
    with pytest.raises(ConfigError, match="did you mean 'block_size'"):
        LLM(blocksize=4)
    with pytest.raises(ConfigError, match="dtype='float8' is not one of"):
        LLM(dtype="float8")
    with pytest.raises(ConfigError, match="'tpu' is not"):
        LLM(device="tpu")
    with pytest.raises(ModelLoadError):
        LLM("/no/such/folder")
    with pytest.raises(ConfigError, match="max_model_len is 100000; this model has 2048"):
        LLM(max_model_len=100_000)


def test_two_engines_live_in_one_process(llm: LLM) -> None:
    with LLM(block_size=4, num_blocks=40) as other:
        mine, theirs = llm.stream("One", GREEDY), other.stream("One", GREEDY)
        pairs = [(a.token_id, b.token_id) for a, b in zip(mine, theirs, strict=True)]
        assert all(a == b for a, b in pairs)


def test_info_says_what_was_chosen_and_why(llm: LLM) -> None:
    name, why = llm.info.choices["attention"]
    assert name == "native"
    assert why.startswith("our C kernel")
    assert "64 blocks of 8 tokens" in llm.info.choices["kv cache"][0]


# ------------------------------------------------------------------------------ weights in 8 bits


def test_weights_in_8_bits_answer_alike_and_info_says_what_was_lost(llm: LLM) -> None:
    small = LLM(num_blocks=64, weight_dtype="int8")
    question = [{"role": "user", "content": "What is a KV cache?"}]
    greedy = SamplingParams(temperature=0, max_tokens=40)
    answers = [engine.chat(question, greedy)[0].text for engine in (small, llm)]
    assert answers[0] == answers[1] != ""
    name, why = small.info.choices["products"]
    assert "8 bits" in name
    assert re.search(r"changes the weights by 0\.\d\d%", why)
    weights = [p for p in small.engine.runner.model.parameters() if p.ndim == 2]
    assert [p.device.type for p in weights].count("cpu") == 1  # the table of embeddings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_dtype": "int4"}, "weight_dtype='int4'"),
        ({"weight_dtype": "int8", "dtype": "bfloat16"}, "float32, and dtype is torch.bfloat16"),
    ],
)
def test_weights_that_cannot_be_kept_so_are_an_error(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LLM(num_blocks=8, **options)


def test_without_a_compiler_8_bits_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "why_unavailable", lambda *_: "no C compiler was found")
    with pytest.raises(ConfigError, match=r"weight_dtype='int8'.*no C compiler was found; leave"):
        LLM(num_blocks=8, weight_dtype="int8")


ANSWERS = SamplingParams(n=3, seed=5, max_tokens=16, temperature=0.9, stop=["Bay"], logprobs=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_num_batched_tokens": 5},
        {"prefix_cache": "radix"},
        {"enable_prefix_caching": False},
    ],
    ids=["plain", "chunked", "radix", "no cache"],
)
def test_n_answers_are_those_of_requests_with_their_seeds(options: dict) -> None:
    with LLM(device="cpu", block_size=4, num_blocks=64, **options) as llm:
        prompts = ["Once upon a time, there", "One day in"]
        outputs = llm.generate(prompts, ANSWERS, use_tqdm=False)
        assert [output.prompt for output in outputs] == prompts
        for output in outputs:
            assert [one.index for one in output.outputs] == [0, 1, 2]
            assert output.finished and output.text == output.outputs[0].text
            for one in output.outputs:
                alone = replace(ANSWERS, n=1, seed=sample_seed(5, one.index))
                (right,) = llm.generate(output.prompt, alone, use_tqdm=False)[0].outputs
                assert (one.token_ids, one.text) == (right.token_ids, right.text)
                assert (one.finish_reason, one.stop_reason) == (
                    right.finish_reason,
                    right.stop_reason,
                )
                assert one.cumulative_logprob == pytest.approx(right.cumulative_logprob, abs=1e-4)


def test_a_stream_tells_the_answers_apart(llm: LLM) -> None:
    whole = llm.generate(["One", "Two"], ANSWERS, use_tqdm=False)
    pieces = list(llm.stream(["One", "Two"], ANSWERS))
    ids = sorted({piece.request_id for piece in pieces})
    for request_id, output in zip(ids, whole, strict=True):
        for one in output.outputs:
            mine = [p for p in pieces if (p.request_id, p.index) == (request_id, one.index)]
            assert [piece.token_id for piece in mine] == one.token_ids
            assert "".join(piece.text for piece in mine) == one.text
            assert mine[-1].finish_reason == one.finish_reason


def test_leaving_a_stream_ends_all_answers(llm: LLM) -> None:
    stream = llm.stream("One", replace(ANSWERS, stop=(), max_tokens=None))
    next(stream)
    assert len(llm.engine.unfinished_seq_ids()) == 3
    stream.close()
    assert not llm.engine.has_unfinished_requests()
    llm.engine.scheduler.check_invariants()


def test_an_output_with_several_answers_is_json(llm: LLM) -> None:
    (output,) = llm.generate("Never asked before", ANSWERS, use_tqdm=False)
    values = json.loads(json.dumps(output.to_dict()))
    assert [one["text"] for one in values["others"]] == [one.text for one in output.outputs[1:]]
    assert output.num_cached_tokens == 0, "the others found what one of them computed"
