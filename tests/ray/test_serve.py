"""Our app in a real Ray Serve."""

import json
import socket

import httpx
import pytest

pytest.importorskip("ray", reason="make test-ray installs Ray")

from ray import serve

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.ray.serve import openai_app
from nanovllm_edu.serve.address import LOOPBACK_NAMES
from nanovllm_edu.serve.gatekeeper import Rules

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]  # Ray's own

PROMPT = {"model": "tiny", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def client(cluster):
    """A client of the served app, with its key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(openai_app("tiny", rules=Rules(LOOPBACK_NAMES, keys=("a secret",))))
    headers = {"Authorization": "Bearer a secret"}
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60) as client:
        yield client
    serve.shutdown()


def expected() -> str:
    with LLM(device="cpu") as llm:
        params = SamplingParams(max_tokens=8, temperature=0)
        return llm.generate(PROMPT["prompt"], params, use_tqdm=False)[0].text


def test_it_answers_as_the_engine_does_whole_and_streamed(client: httpx.Client):
    whole = client.post("/v1/completions", json=PROMPT).json()
    assert whole["choices"][0]["text"] == expected()
    with client.stream("POST", "/v1/completions", json={**PROMPT, "stream": True}) as answer:
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    pieces = [json.loads(line)["choices"][0]["text"] for line in lines]
    assert "".join(pieces) == expected()
    assert len(pieces) > 1


def test_the_gatekeeper_came_along(client: httpx.Client):
    wrong = client.post("/v1/completions", json=PROMPT, headers={"Authorization": "Bearer no"})
    assert wrong.status_code == 401
    assert client.get("/health", headers={"Host": "elsewhere.example"}).status_code == 403
    too_long = client.post("/v1/completions", json={**PROMPT, "max_tokens": -1})
    assert too_long.status_code == 400


def test_a_replica_that_is_killed_is_started_anew(client: httpx.Client, kill):
    kill("ServeReplica")
    for _ in range(60):
        try:
            answer = client.post("/v1/completions", json=PROMPT, timeout=10)
        except httpx.HTTPError:
            continue
        if answer.status_code == 200:
            break
    assert answer.json()["choices"][0]["text"] == expected()
