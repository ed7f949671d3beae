"""`Gatekeeper`: what every request passes before the app sees it, and every answer on its way out.

    Host        is a name of this server, so that a page elsewhere cannot reach it through a name of
                its own that points here (DNS rebinding)
    Origin      is this server, or was allowed (no CORS unless asked)
    key         is right, compared in constant time, if keys are asked for
    body        is not longer than it may be, and here in time
    streams     not more at the same time than there may be

It speaks ASGI, so what it refuses costs nothing further. Read next: `serve/express_lane.py`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanovllm_edu.serve.event_stream import DIRECT
from nanovllm_edu.serve.keys import which_key
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.problems import Problem, response_of

OPEN_PATHS = {"/health"}
"""Answered without a key: whoever starts servers asks here whether one is well."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    Attributes:
        hosts: Names that this server answers to; empty allows all.
        origins: Pages of other sites that may ask from a browser, such as "https://example.org".
        keys: API keys; empty asks for none.
        limits: Of bodies and streams.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    keys: tuple[str, ...] = field(default=(), repr=False)
    limits: ServeLimits = field(default_factory=ServeLimits)


class Gatekeeper:
    """ASGI middleware.

    Args:
        app: What is behind it.
        rules: Who may ask.
        is_draining: Whether the server is about to end.
    """

    def __init__(self, app: ASGIApp, rules: Rules, is_draining: Callable[[], bool]) -> None:
        self._app, self._rules, self._is_draining = app, rules, is_draining
        self.num_open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        state[DIRECT], send = send, _with_security_headers(send)
        try:
            headers = Headers(scope=scope)
            self._check_host(headers)
            self._check_origin(headers)
            state["client"] = self._client(scope["path"], headers)
            receive = await self._with_body(headers, scope, receive)
            with self._one_more(scope["path"]):
                return await self._app(scope, receive, send)
        except Problem as problem:
            return await response_of(problem)(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        hosts, host = self._rules.hosts, headers.get("host", "")
        if hosts and _name_in(host) not in hosts:
            raise Problem(
                403,
                f"Host {host[:100]!r} is not one of {', '.join(sorted(hosts))}; start the server "
                "with --allowed-host to let it answer to another name.",
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self._rules.origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise Problem(
                403,
                f"a page of {origin[:100]!r} may not ask this server; start it with --allow-origin "
                "if it should.",
            )

    def _client(self, path: str, headers: Headers) -> int | None:
        """Which key was given; None if none is asked for."""
        if not self._rules.keys or path in OPEN_PATHS:
            return None
        client = which_key(headers.get("authorization", ""), self._rules.keys)
        if client is None:
            raise Problem(401, "the API key is missing or wrong; send Authorization: Bearer KEY.")
        return client

    async def _with_body(self, headers: Headers, scope: Scope, receive: Receive) -> Receive:
        """Reads the body, which is then given to the app in one piece."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A page elsewhere may send a form or plain text without asking the browser's leave.
            raise Problem(415, "the body is not sent as Content-Type: application/json.")
        limits = self._rules.limits
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > limits.max_body_bytes:
            raise _too_long(limits)
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _read_body(receive, limits)
        except TimeoutError:
            raise Problem(
                408, f"the body was not here after {limits.body_seconds} s; send it faster."
            ) from None
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        return replay

    @contextmanager
    def _one_more(self, path: str) -> Iterator[None]:
        most = self._rules.limits.max_streams
        if path in OPEN_PATHS:
            yield
            return
        if self._is_draining():
            raise Problem(503, "the server is about to end; ask another one.")
        if self.num_open >= most:
            raise Problem(
                429, f"{self.num_open} requests are open, and max_streams={most}; try again later."
            )
        self.num_open += 1
        try:
            yield
        finally:
            self.num_open -= 1


def _name_in(host: str) -> str:
    """The name in a Host header, without the port: "[::1]:8000" is "::1"."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _read_body(receive: Receive, limits: ServeLimits) -> bytes:
    pieces, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the client is gone.")
        pieces.append(message.get("body", b""))
        length += len(pieces[-1])
        if length > limits.max_body_bytes:
            raise _too_long(limits)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_long(limits: ServeLimits) -> Problem:
    return Problem(
        413, f"the body is longer than max_body_bytes={limits.max_body_bytes}; send a shorter one."
    )


def _with_security_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
