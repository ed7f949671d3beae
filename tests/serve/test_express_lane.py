"""Past FastAPI or through it, a request gets the same answer."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.serve_soak import checksum_llm
from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.serve.app import Served, create_app
from nanovllm_edu.serve.express_lane import ExpressLane
from nanovllm_edu.serve.gatekeeper import Rules

COMPLETION, CHAT = "/v1/completions", "/v1/chat/completions"
GREEDY = {"prompt": [1, 2, 3], "temperature": 0, "max_tokens": 4}
BODIES: dict[str, tuple[str, Any]] = {
    "whole": (COMPLETION, GREEDY),
    "several": (COMPLETION, {**GREEDY, "prompt": [[1, 2], [3, 4]], "n": 2, "logprobs": 2}),
    "stream": (COMPLETION, {**GREEDY, "stream": True, "stream_options": {"include_usage": True}}),
    "no field of ours": (COMPLETION, {**GREEDY, "colour": "red"}),
    "no prompt": (COMPLETION, {"max_tokens": 4}),
    "another type": (COMPLETION, {**GREEDY, "max_tokens": "four"}),
    "a string for a number": (COMPLETION, {**GREEDY, "temperature": "0"}),
    "out of range": (COMPLETION, {**GREEDY, "top_p": 7}),
    "another model": (COMPLETION, {**GREEDY, "model": "gpt-4"}),
    "no object": (COMPLETION, [1, 2]),
    "null": (CHAT, {"messages": None}),
    "no JSON": (COMPLETION, b'{"prompt": '),
    "a number that JSON has not": (COMPLETION, b'{"prompt": [1], "temperature": NaN}'),
}


@pytest.fixture(scope="module")
def clients():
    """One that goes by the lane, and one whose lane has no stop."""
    with AsyncLLM(checksum_llm()) as llm:
        short, long = (create_app(Served(llm, "checksum", Rules())) for _ in range(2))
        lane = long._app  # type: ignore[attr-defined]
        assert isinstance(lane, ExpressLane)
        lane._stops = {}
        options = {"base_url": "http://127.0.0.1", "raise_server_exceptions": False}
        yield [TestClient(app, **options) for app in (short, long)]


def without_names(text: str) -> list[Any]:
    """Without the id and the time of an answer, and without how its text was cut.

    A message holds what was ready when its turn came: where a text is cut is a matter of time.
    """
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    messages = [json.loads(line) for line in lines if line != "[DONE]"]
    said: list[Any] = []
    for message in messages:
        message = {k: v for k, v in message.items() if k not in ("id", "created")}
        if said and (piece := _text_alone(said[-1])) is not None and message.get("choices"):
            message["choices"][0]["text"] = piece + message["choices"][0]["text"]
            said.pop()
        said.append(message)
    return said


def _text_alone(message: Any) -> str | None:
    """The text of a message that only begins or goes on with one."""
    match message:
        case {"choices": [{"text": str(text), "finish_reason": None}]}:
            return text
    return None


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_give_the_same(name, clients):
    path, body = BODIES[name]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    short, long = (client.post(path, content=data, headers=headers) for client in clients)
    assert short.status_code == long.status_code
    assert without_names(short.text) == without_names(long.text)
    assert short.headers["content-type"] == long.headers["content-type"]


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe{", b"[" * 100_000], ids=["empty", "no text", "deep"]
)
def test_what_cannot_be_read_is_the_senders_mistake(body, clients):
    headers = {"Content-Type": "application/json"}
    for client in clients:
        answer = client.post(COMPLETION, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (
            400,
            "invalid_request_error",
        )


def test_other_methods_are_for_the_app_behind(clients):
    assert [client.get(COMPLETION).status_code for client in clients] == [405, 405]
