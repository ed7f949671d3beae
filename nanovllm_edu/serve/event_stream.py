"""An answer that comes in pieces: server-sent events, until the client is gone or time is up.

Whether the client is still there is asked all the time, not only when there is something to send:
one that leaves while its prompt is computed frees its blocks before the next step.

A step of many streams is many pieces, so a piece costs little: its JSON is written by msgspec, and
it goes straight to the server (`DIRECT`), past layers that look at nothing but the headers.

Read next: `serve/generation.py`, `serve/watch.py`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nanovllm_edu.serve.problems import body_of

Result = TypeVar("Result")

DONE = b"data: [DONE]\n\n"
DIRECT = "send"
"""In a scope's state: the server's own `send`, for what follows the headers."""
LAST_WORD_SECONDS = 1.0
"""A client that does not read gets so long to take the error that ends its stream."""


def event(data: Any, name: str = "") -> bytes:
    """JSON as one event; a page listens for it by its name, if it has one."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, _json(data))


_json = msgspec.json.Encoder().encode


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(receive: Receive, work: Awaitable[Result], seconds: float) -> Result:
    """The result of `work`, which is cancelled when the client goes or time is up.

    Raises:
        ClientGoneError: The client has disconnected.
        TimeoutError: It took longer than `seconds`.
    """
    gone = asyncio.ensure_future(_is_gone(receive))
    try:
        async with asyncio.timeout(seconds) as limit:

            def hang_up(_: object) -> None:
                with suppress(RuntimeError):  # the work has just ended
                    limit.reschedule(0.0)

            gone.add_done_callback(hang_up)
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        if gone.done():
            raise ClientGoneError from None
        raise TimeoutError(f"it took longer than {seconds:g} s; ask for less.") from error
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def _is_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """An answer that sends what a generator yields.

    Args:
        pieces: Whole events; closed in the end, whatever happens.
        seconds: After so long it is ended; None: never.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], seconds: float | None = None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})  # a proxy passes each piece on
        self._pieces, self._seconds = pieces, seconds

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Without a length: nobody knows it yet."""
        super().init_headers({**(headers or {}), "Content-Type": "text/event-stream"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        send = scope.get("state", {}).get(DIRECT, send)
        seconds = float("inf") if self._seconds is None else self._seconds
        try:
            await unless_gone(receive, self._send_all(send), min(seconds, 1e9))
        except ClientGoneError:
            return
        except Exception as error:  # the status is sent already, so the error becomes an event
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    last = event(body_of(error)[1])
                    await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
