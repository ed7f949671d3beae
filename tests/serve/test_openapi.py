"""Whatever the OpenAPI document allows, and much that it does not, is never a 500."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from nanovllm_edu import LLM
from nanovllm_edu.serve.limits import ServeLimits
from tests.serve.servers import HTTP, serving

OPERATIONS = [
    "POST /v1/completions",
    "POST /v1/chat/completions",
    "POST /tokenize",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /health",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def operations() -> Iterator[dict[str, Any]]:
    limits = ServeLimits(max_tokens=2, max_choices=4, max_body_bytes=20_000)
    with LLM(num_blocks=64) as llm, serving(llm, limits=limits) as server:
        document = HTTP.get(f"{server.url}/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=server.url)
        found = [result.ok() for result in schema.get_all_operations()]
        yield {f"{one.method.upper()} {one.path}": one for one in found}


def test_every_path_is_described(operations: dict[str, Any]) -> None:
    assert set(operations) == set(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_makes_it_fail(
    name: str, mode: GenerationMode, operations: dict[str, Any]
) -> None:
    if mode is GenerationMode.NEGATIVE and name.startswith("GET"):
        pytest.skip("nothing in it can be wrong")
    strategy = operations[name].as_strategy(generation_mode=mode)

    @given(case=strategy)
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        answer = case.call()
        assert answer.status_code in (200, 400, 404, 405, 413, 415, 429), answer.text
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    ask()
