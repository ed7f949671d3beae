"""A server that says what a test wants, on the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PIECE = b'data: {"choices":[{"index":0,"text":"word ","finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"

Behave = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def stub(behave: Behave) -> AsyncIterator[str]:
    """Gives its URL; each request, whole, and whom to answer go to `behave`."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        try:
            await behave(head + await reader.readexactly(int(length or 0)), writer)
        finally:
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
