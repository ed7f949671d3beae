"""Who may ask: hosts, origins, keys, bodies, streams; and what goes out with every answer."""

import base64
import json
import socket
import time
from typing import Any

import httpx
import pytest

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.serve.address import Address, allowed_hosts
from nanovllm_edu.serve.limits import ServeLimits
from tests.engine.slow_runner import SlowRunner
from tests.serve.servers import HTTP, serving

BODY = {"prompt": [1, 2, 3], "max_tokens": 2}


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000"])
def test_a_name_of_this_server_is_answered(host: str) -> None:
    with serving() as server:
        assert HTTP.get(f"{server.url}/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a:b:c"])
def test_another_name_is_refused(host: str) -> None:
    with serving() as server:
        answer = HTTP.get(f"{server.url}/health", headers={"Host": host})
        assert code_of(answer) == (403, "forbidden")


def test_pages_of_other_sites_may_not_ask_unless_they_are_named() -> None:
    evil, good = "https://evil.example", "https://good.example"
    with serving(origins=frozenset([good])) as server:

        def ask(origin: str) -> httpx.Response:
            return HTTP.post(f"{server.url}/v1/completions", json=BODY, headers={"Origin": origin})

        assert code_of(ask(evil)) == (403, "forbidden")
        answer = ask(good)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == good
        assert ask(server.url).status_code == 200  # its own pages
        before = HTTP.options(
            f"{server.url}/v1/completions",
            headers={"Origin": good, "Access-Control-Request-Method": "POST"},
        )
        assert before.headers["access-control-allow-origin"] == good
    with serving() as server:
        answer = HTTP.get(f"{server.url}/health", headers={"Origin": server.url})
        assert "access-control-allow-origin" not in answer.headers


def test_a_key_is_asked_of_everybody_and_in_each_form() -> None:
    with serving(keys=("first", "sec:ond")) as server:
        url = f"{server.url}/v1/models"
        assert HTTP.get(f"{server.url}/health").status_code == 200
        for path in ("/v1/models", "/metrics", "/watch", "/openapi.json", "/nope"):
            answer = HTTP.get(server.url + path)
            assert code_of(answer) == (401, "invalid_api_key"), path
        wrong = [
            "first",
            "Bearer",
            "Bearer firs",
            "Bearer first2",
            "Basic !",
            "Basic AAAA",
            "Bearer é",
        ]
        for given in wrong:
            headers = {"Authorization": given.encode()}
            assert HTTP.get(url, headers=headers).status_code == 401, given  # type: ignore[arg-type]
        basic = base64.b64encode(b"anybody:sec:ond").decode()
        for given in ("Bearer first", "bearer sec:ond", f"Basic {basic}"):
            assert HTTP.get(url, headers={"Authorization": given}).status_code == 200, given
        assert "Basic" in HTTP.get(url).headers["www-authenticate"]  # a browser asks its user


def test_a_body_has_a_longest_length_however_it_is_sent() -> None:
    with serving(limits=ServeLimits(max_body_bytes=1000)) as server:
        long = json.dumps({**BODY, "user": "x" * 1000}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{server.url}/v1/completions"
        answer = HTTP.post(url, content=long, headers=headers)
        assert code_of(answer) == (413, "body_too_large")
        pieces = (long[i : i + 100] for i in range(0, len(long), 100))  # without a length
        assert code_of(HTTP.post(url, content=pieces, headers=headers))[0] == 413
        assert HTTP.post(url, json=BODY).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with serving(limits=ServeLimits(body_seconds=0.2)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            sock.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            begin = time.monotonic()
            assert b"408" in sock.recv(1000)
            assert time.monotonic() - begin < 3


def test_a_form_or_plain_text_is_refused() -> None:
    """A page elsewhere can send these without asking the browser's leave."""
    with serving() as server:
        for kind in ("text/plain", "application/x-www-form-urlencoded", None):
            headers = {} if kind is None else {"Content-Type": kind}
            answer = HTTP.post(
                f"{server.url}/v1/completions", content=json.dumps(BODY), headers=headers
            )
            assert code_of(answer) == (415, "unsupported_media_type")


def test_open_streams_are_bounded_and_health_is_still_told() -> None:
    runner = SlowRunner(16, 4)
    with serving(runner=runner, limits=ServeLimits(max_streams=1)) as server:
        url = f"{server.url}/v1/completions"
        with HTTP.stream("POST", url, json={**BODY, "stream": True}):
            answer = HTTP.post(url, json=BODY)
            assert code_of(answer) == (429, "too_busy")
            assert answer.headers["retry-after"] == "1"
            assert HTTP.get(f"{server.url}/health").status_code == 200
        runner.leave.release(100)
        deadline = time.monotonic() + 5
        while HTTP.post(url, json=BODY).status_code != 200:
            assert time.monotonic() < deadline


def test_a_queue_that_is_full_is_a_429() -> None:
    with serving(max_waiting=2) as server:
        body = {"prompt": [[1], [2], [3]], "max_tokens": 2}
        answer = HTTP.post(f"{server.url}/v1/completions", json=body)
        assert code_of(answer) == (429, "too_busy")
        assert "max_waiting=2" in answer.json()["error"]["message"]


def test_every_answer_has_the_headers() -> None:
    with serving() as server:
        for path in ("/health", "/watch", "/nope", "/openapi.json"):
            headers = HTTP.get(server.url + path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers
        policy = HTTP.get(f"{server.url}/watch").headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_another_address_needs_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="--api-key"):
        allowed_hosts(Address(host), [], has_keys=False)
    assert allowed_hosts(Address(host), [], has_keys=True) == frozenset()
    assert "example.net" in allowed_hosts(Address(host), ["Example.net"], has_keys=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_loopback_needs_none(host: str) -> None:
    assert host in allowed_hosts(Address(host), [], has_keys=False)


@pytest.mark.parametrize("name", ["max_streams", "request_seconds", "max_tokens"])
@pytest.mark.parametrize("value", [0, -1, "3", True, float("nan")])
def test_a_bound_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        ServeLimits(**{name: value})
