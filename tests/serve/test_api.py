"""What OpenAI's clients ask, asked by real ones: `openai`, Hugging Face's, and curl."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from huggingface_hub import InferenceClient
from prometheus_client.parser import text_string_to_metric_families

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.server import ServerThread
from tests.serve.servers import HTTP, serving

QUESTION: Any = [{"role": "user", "content": "What is a token?"}]
GREEDY = {"temperature": 0, "max_tokens": 12}
PARAMS = SamplingParams(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(num_blocks=128, max_num_seqs=32) as llm:
        yield llm


@pytest.fixture(scope="module")
def server(llm: LLM) -> Iterator[ServerThread]:
    with serving(llm, limits=ServeLimits(max_tokens=100, max_prompt_tokens=300)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
        yield client


def post(server: ServerThread, path: str, body: Any) -> httpx.Response:
    return HTTP.post(server.url + path, json=body, timeout=30)


# -------------------------------------------------------------------------------- openai's client


def test_a_chat_is_what_llm_chat_says(client: openai.OpenAI, llm: LLM) -> None:
    (right,) = llm.chat(QUESTION, PARAMS, use_tqdm=False)
    answer = client.chat.completions.create(model="tiny", messages=QUESTION, **GREEDY)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", right.text)
    assert choice.finish_reason == right.finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(right.prompt_token_ids)
    assert answer.usage.completion_tokens == len(right.token_ids)
    assert (answer.object, answer.model) == ("chat.completion", "tiny")


def test_a_streamed_chat_is_the_same_text_in_pieces(client: openai.OpenAI, llm: LLM) -> None:
    (right,) = llm.chat(QUESTION, PARAMS, use_tqdm=False)
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
            **GREEDY,
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    *said, last = chunks
    assert said[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == right.text
    reasons = [chunk.choices[0].finish_reason for chunk in said]
    assert reasons == [None] * (len(said) - 1) + [right.finish_reason]
    assert all(chunk.usage is None for chunk in said)
    assert last.choices == [] and last.usage is not None
    assert last.usage.completion_tokens == len(right.token_ids)


def test_without_the_option_no_chunk_speaks_of_usage(client: openai.OpenAI) -> None:
    chunks = client.completions.create(model="tiny", prompt="Hi", stream=True, **GREEDY)
    assert all(chunk.choices and "usage" not in chunk.to_dict() for chunk in chunks)


def test_cached_tokens_are_told(client: openai.OpenAI) -> None:
    prompt = list(range(100, 148))
    first, second = (
        client.completions.create(model="tiny", prompt=prompt, max_tokens=1) for _ in range(2)
    )
    for answer, cached in ((first, 0), (second, 32)):
        assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == cached


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts_are_answered_in_their_order(
    client: openai.OpenAI, llm: LLM, stream: bool
) -> None:
    prompts = ["Once upon a time", "What is a KV cache?", "One day"]
    right = [output.text for output in llm.generate(prompts, PARAMS, use_tqdm=False)]
    answer: Any = client.completions.create(model="tiny", prompt=prompts, stream=stream, **GREEDY)
    texts = ["", "", ""]
    for part in answer if stream else [answer]:
        for choice in part.choices:
            texts[choice.index] += choice.text
    assert texts == right


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_to_several_prompts_have_their_index(
    client: openai.OpenAI, llm: LLM, stream: bool
) -> None:
    prompts = ["Once upon a time", "One day in"]
    params = SamplingParams(n=3, seed=5, max_tokens=9, temperature=0.9)
    right = llm.generate(prompts, params, use_tqdm=False)
    answer: Any = client.completions.create(
        model="tiny", prompt=prompts, n=3, seed=5, max_tokens=9, temperature=0.9, stream=stream,
        extra_body={"stream_options": {"include_usage": True}} if stream else {},
    )  # fmt: skip
    texts, usage = [""] * 6, None
    for part in answer if stream else [answer]:
        usage = part.usage or usage
        for choice in part.choices:
            texts[choice.index] += choice.text
    assert texts == [one.text for output in right for one in output.outputs]
    assert usage is not None
    assert usage.prompt_tokens == sum(len(output.prompt_token_ids) for output in right)
    tokens = [len(one.token_ids) for output in right for one in output.outputs]
    assert usage.completion_tokens == sum(tokens)


PERSON: Any = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"enum": [7, 20]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_has_the_form_of_its_schema(client: openai.OpenAI, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model="tiny", messages=QUESTION, n=2, max_tokens=60, stream=stream,
        response_format={
            "type": "json_schema", "json_schema": {"name": "person", "schema": PERSON},
        },
    )  # fmt: skip
    texts = ["", ""]
    for part in answer if stream else [answer]:
        for choice in part.choices:
            said = choice.delta if stream else choice.message
            texts[choice.index] += said.content or ""
    for text in texts:
        assert json.loads(text)["age"] in (7, 20)


def test_any_json_object_can_be_asked_for(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_tokens=5, response_format={"type": "json_object"}
    )
    assert (answer.choices[0].message.content or "").startswith("{")
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, **GREEDY, response_format={"type": "text"}
    )
    assert answer.choices[0].message.content


def test_each_form_of_prompt(client: openai.OpenAI, llm: LLM) -> None:
    ids = llm.tokenizer.encode("Once upon a time")
    for prompt in ("Once upon a time", ids):
        answer = client.completions.create(model="tiny", prompt=prompt, **GREEDY)
        assert answer.choices[0].text == llm.generate(prompt, PARAMS, use_tqdm=False)[0].text
    answer = client.completions.create(model="tiny", prompt=[ids, ids[:2]], **GREEDY)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_left_out_it_is_sixteen_tokens_and_a_chat_goes_on(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="Once", extra_body={"ignore_eos": True})
    assert answer.usage is not None and answer.usage.completion_tokens == 16
    chat = client.chat.completions.create(
        model="tiny", messages=QUESTION, extra_body={"ignore_eos": True}
    )
    assert chat.usage is not None and chat.usage.completion_tokens == 100  # the server's most
    chat = client.chat.completions.create(
        model="tiny", messages=QUESTION, max_completion_tokens=3, temperature=0
    )
    assert chat.usage is not None and chat.usage.completion_tokens == 3


def test_options_reach_the_engine(client: openai.OpenAI, llm: LLM) -> None:
    """Each option changes the answer as it does in SamplingParams."""
    token = llm.generate("Once", PARAMS, use_tqdm=False)[0].token_ids[0]
    options: list[tuple[dict[str, Any], SamplingParams]] = [
        ({"stop": " time"}, SamplingParams(temperature=0, max_tokens=12, stop=" time")),
        ({"stop": [",", " a"]}, SamplingParams(temperature=0, max_tokens=12, stop=[",", " a"])),
        (
            {"logit_bias": {str(token): -100}},
            SamplingParams(temperature=0, max_tokens=12, logit_bias={token: -100}),
        ),
        ({"temperature": 1.5, "seed": 7}, SamplingParams(temperature=1.5, seed=7, max_tokens=12)),
        (
            {"extra_body": {"min_tokens": 5, "top_k": 3, "stop_token_ids": [token]}},
            SamplingParams(
                temperature=0, max_tokens=12, min_tokens=5, top_k=3, stop_token_ids=[token]
            ),
        ),
    ]
    for given, params in options:
        answer = client.completions.create(model="tiny", prompt="Once", **{**GREEDY, **given})
        (right,) = llm.generate("Once", params, use_tqdm=False)
        choice = answer.choices[0]
        assert (choice.text, choice.finish_reason) == (right.text, right.finish_reason), given
        assert choice.stop_reason == right.stop_reason  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_of_texts(client: openai.OpenAI, llm: LLM, stream: bool) -> None:
    params = SamplingParams(temperature=0, max_tokens=12, logprobs=2)
    (right,) = llm.generate("Once upon a time", params, use_tqdm=False)
    assert right.logprobs is not None
    answer: Any = client.completions.create(
        model="tiny", prompt="Once upon a time", logprobs=2, stream=stream, **GREEDY
    )
    parts = [choice for part in (answer if stream else [answer]) for choice in part.choices]
    said = [part.logprobs for part in parts]
    assert [token for one in said for token in one.tokens] == llm.tokenizer.pieces(right.token_ids)
    values = [value for one in said for value in one.token_logprobs]
    assert values == pytest.approx([one.logprob for one in right.logprobs], abs=1e-4)
    assert all(len(top) == 2 for one in said for top in one.top_logprobs)
    offsets = [offset for one in said for offset in one.text_offset]
    assert offsets == [len("".join(llm.tokenizer.pieces(right.token_ids[:i]))) for i in range(12)]


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_of_chats(client: openai.OpenAI, llm: LLM, stream: bool) -> None:
    answer: Any = client.chat.completions.create(
        model="tiny", messages=QUESTION, logprobs=True, top_logprobs=3, stream=stream, **GREEDY
    )
    choices = [choice for part in (answer if stream else [answer]) for choice in part.choices]
    tokens = [one for choice in choices if choice.logprobs for one in choice.logprobs.content]
    (right,) = llm.chat(QUESTION, PARAMS, use_tqdm=False)
    assert [one.token for one in tokens] == llm.tokenizer.pieces(right.token_ids)
    assert all(len(one.top_logprobs) == 3 for one in tokens)
    assert b"".join(bytes(one.bytes) for one in tokens).decode() == right.text
    assert all(one.logprob == one.top_logprobs[0].logprob for one in tokens)


def test_errors_are_those_of_openais_library(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny", prompt="Hi", temperature=-1)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as missing:
        client.completions.create(model="gpt-9", prompt="Hi")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="tiny", prompt=[1] * 301)
    assert long.value.code == "context_length_exceeded"


# -------------------------------------------------------------------------------- other clients


def test_hugging_faces_client(
    server: ServerThread, llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # it asks 127.0.0.1
    (right,) = llm.chat(QUESTION, PARAMS, use_tqdm=False)
    client = InferenceClient(base_url=server.url, api_key="-")
    answer = client.chat_completion(QUESTION, model="tiny", max_tokens=12, temperature=0)
    assert answer.choices[0].message.content == right.text
    pieces = client.chat_completion(
        QUESTION, model="tiny", max_tokens=12, temperature=0, stream=True
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == right.text


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(server: ServerThread, llm: LLM) -> None:
    body = json.dumps({"prompt": "Once upon a time", "stream": True, **GREEDY})
    url, kind = f"{server.url}/v1/completions", "Content-Type: application/json"
    run = subprocess.run(
        ["curl", "-sN", "--noproxy", "*", url, "-d", body, "-H", kind],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    *events, done = [line for line in run.stdout.split("\n\n") if line]
    assert done == "data: [DONE]"
    text = "".join(json.loads(event[6:])["choices"][0]["text"] for event in events)
    assert text == llm.generate("Once upon a time", PARAMS, use_tqdm=False)[0].text


# ------------------------------------------------------------------------------- everything else


def test_models(server: ServerThread, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_tokenize(server: ServerThread, llm: LLM) -> None:
    answer = post(server, "/tokenize", {"prompt": "Once upon", "return_token_strs": True}).json()
    assert answer["tokens"] == llm.tokenizer.encode("Once upon")
    assert (answer["count"], "".join(answer["token_strs"])) == (2, "Once upon")
    answer = post(server, "/tokenize", {"messages": QUESTION}).json()
    assert answer["tokens"] == llm.tokenizer.chat_prompt(QUESTION)
    assert post(server, "/tokenize", {}).status_code == 400
    long = "word " * 20_000
    assert post(server, "/tokenize", {"prompt": long}).json()["count"] > 20_000


def test_metrics_count_what_the_server_did(llm: LLM) -> None:
    with serving(llm) as server:
        for _ in range(3):
            post(server, "/v1/completions", {"prompt": "Once upon a time", **GREEDY})
        text = HTTP.get(f"{server.url}/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["nanovllm_requests_total",] == 3
    assert samples["nanovllm_requests_finished_total", "length"] == 3
    assert samples["nanovllm_generated_tokens_total",] == 36
    assert samples["nanovllm_time_to_first_token_seconds_count",] == 3
    assert samples["nanovllm_time_to_first_token_seconds_bucket", "+Inf"] == 3
    assert samples["nanovllm_inter_token_seconds_count",] == 33
    assert samples["nanovllm_requests_running",] == samples["nanovllm_kv_blocks_used",] == 0


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "a", "n": 65}, "n"),
    ({"prompt": ["a"] * 65}, "max_choices=64"),
    ({"prompt": "a", "max_tokens": 101}, "max_tokens=101 exceeds this server's 100"),
    ({"prompt": "a", "max_tokens": 0}, "max_tokens=0"),
    ({"prompt": "a", "logprobs": 21}, "logprobs=21 exceeds 20"),
    ({"prompt": "a", "foo": 1}, "unknown option 'foo'=1"),
    ({"prompt": "a", "seed": "7"}, "seed='7'"),
    ({"prompt": "a", "stream": "yes"}, "stream='yes'"),
    ({"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias holds 'x'"),
    ({"prompt": "a", "logit_bias": {"99999999": 1}}, "logit_bias holds 99999999"),
    ({"prompt": "a", "echo": True}, "echo=True"),
    ({"prompt": "\ud83d"}, "half of a character"),
    ({"prompt": ""}, "the prompt is empty"),
    ({"prompt": [2**70]}, "not in [0"),
    ({"prompt": [[1], ["a"]]}, "prompt"),
    ({}, "prompt"),
    ({"prompt": "a", "response_format": {"type": "json_schema"}}, "has no json_schema.schema"),
    ({"prompt": "a", "n": 0}, "n=0 is not an integer >= 1"),
    ({"prompt": "a", "n": 33}, "n=33 answers to one prompt run side by side, and max_num_seqs=32"),
    (
        {
            "prompt": "a",
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "odd"}}},
        },
        "cannot be met: Invalid type: odd",
    ),
]


@pytest.mark.parametrize("body, said", BAD)
def test_bad_requests_say_what_is_wrong(server: ServerThread, body: Any, said: str) -> None:
    data = json.dumps(body).encode()
    answer = HTTP.post(
        f"{server.url}/v1/completions", content=data, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body, said",
    [
        ({"messages": []}, "the conversation is empty"),
        ({"messages": [{"content": "x"}]}, "has no role"),
        ({"messages": QUESTION, "top_logprobs": 2}, "needs logprobs"),
        ({"messages": QUESTION, "tools": []}, "unknown option 'tools'"),
        ({"messages": "hello"}, "messages='hello'"),
    ],
)
def test_bad_chats_say_what_is_wrong(server: ServerThread, body: Any, said: str) -> None:
    answer = post(server, "/v1/chat/completions", body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"prompt": NaN}'])
def test_a_body_that_is_no_object_is_refused(server: ServerThread, data: bytes) -> None:
    answer = HTTP.post(
        f"{server.url}/v1/completions", content=data, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_path_and_a_wrong_method_have_the_shape_too(server: ServerThread) -> None:
    assert HTTP.get(f"{server.url}/v2").json()["error"]["code"] == "not_found"
    answer = HTTP.get(f"{server.url}/v1/completions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
