"""One request over one connection: bytes with the times at which they came, and then an `Answer`.

While an answer comes, nothing is done but note each piece and its time; it is read when all of it
is here. A client that parses as it goes is late for its other streams, and measures itself.

Each request has a connection of its own, as each user has: the time to connect is in its latency.

Read next: `load/loops.py`, which sends them.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httptools

from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import WorkloadError, of_type, shown
from nanovllm_edu.load.answer import Answer
from nanovllm_edu.load.arrivals import Job

TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work night point "
    "home water room mother area money story fact month lot right study book eye job word business"
)
WORDS = TEXT.split()
"""A prompt is made of these: in most vocabularies each is one token."""


@dataclass(frozen=True)
class Target:
    """Whom to ask, and how.

    Attributes:
        url: Of the API, such as `http://127.0.0.1:8000/v1`.
        model: As the server calls it.
        api_key: Sent as a bearer token, unless empty.
        is_chat: Whether to ask `/chat/completions`; else `/completions`.
        timeout: Seconds after which a user gives up.
        extra: Further fields of each body, such as `{"ignore_eos": True}`.
        seed: Of the prompts' words.

    Raises:
        WorkloadError: Something is of another type, or the timeout is not above 0.
    """

    url: str
    model: str = ""
    api_key: str = field(default="", repr=False)
    is_chat: bool = False
    timeout: float = 120.0
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("model", str), ("api_key", str), ("extra", dict)):
            of_type(getattr(self, name), kind, name, f"give a {kind.__name__}", WorkloadError)
        if not is_number(self.timeout) or not self.timeout > 0:
            raise WorkloadError(f"timeout={shown(self.timeout)} is not a number of s above 0.")

    @cached_property
    def place(self) -> SplitResult:
        """The URL in parts.

        Raises:
            WorkloadError: It is not one of http or https.
        """
        try:
            place = urlsplit(self.url.rstrip("/"))
            fits = place.scheme in ("http", "https") and place.hostname and place.port != 0
        except (ValueError, AttributeError):
            fits = place = None
        if not fits or place is None:
            raise WorkloadError(f"url={shown(self.url)} is not like http://127.0.0.1:8000/v1.")
        return place

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """What a certificate is checked against."""
        return ssl.create_default_context() if self.place.scheme == "https" else None

    def prompt(self, job: Job, index: int) -> str:
        """What a request says; `index` is its number in the run, so that no two are alike."""
        random = Random(f"{self.seed} {index}")
        return job.prompt or " ".join(random.choices(WORDS, k=job.prompt_words))

    def body(self, job: Job, index: int) -> bytes:
        """The body of a request, as HTTP carries it."""
        prompt = self.prompt(job, index)
        asked = {"messages": [{"role": "user", "content": prompt}]} if self.is_chat else {
            "prompt": prompt
        }  # fmt: skip
        stream = {"stream": True, "stream_options": {"include_usage": True}}
        model = {"model": self.model} if self.model else {}
        return json.dumps(
            {**model, **asked, "max_tokens": job.max_tokens, **stream, **self.extra}
        ).encode()

    def message(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A whole HTTP request."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.place.netloc.rpartition('@')[2]}",
            "Connection: close",
        ]
        if self.api_key:
            lines.append(f"Authorization: Bearer {self.api_key}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Wire(asyncio.Protocol):
    """A connection: sends a message, and notes what comes back until the other side closes it."""

    def __init__(self, message: bytes) -> None:
        self._message, self._now = message, asyncio.get_running_loop().time
        self.arrived: list[tuple[float, bytes]] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self.arrived.append((self._now(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def exchange(target: Target, message: bytes) -> list[tuple[float, bytes]]:
    """Sends a message; returns what came and when, once the server has closed the connection.

    Raises:
        OSError: The server cannot be reached.
        TimeoutError: It took longer than `target.timeout`.
    """
    loop, place = asyncio.get_running_loop(), target.place
    port = place.port or (443 if target.tls else 80)
    async with asyncio.timeout(target.timeout):
        transport, wire = await loop.create_connection(
            lambda: Wire(message), place.hostname or "", port, ssl=target.tls
        )
        try:
            await wire.closed
        finally:
            transport.abort()
    return wire.arrived


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back for one request, as bytes: to be read when nobody waits for it.

    Attributes:
        wanted: When the user wanted to ask, in seconds from the start of the run.
        sent: When the request was sent.
        ended: When nothing more was to come.
        arrived: What came when, in seconds from the start of the run.
        error: Why nothing can be read; empty if something can.
    """

    wanted: float
    sent: float
    ended: float
    arrived: list[tuple[float, bytes]]
    error: str = ""

    def answer(self) -> Answer:
        """What its user saw."""
        if self.error:
            return Answer(self.wanted, self.sent, (), self.ended, 0, 0, self.error)
        read = Reading(self.arrived)
        pieces, num_tokens = tuple(read.pieces), read.num_tokens
        return Answer(
            self.wanted, self.sent, pieces, self.ended, num_tokens, read.status, read.error
        )


async def hear(target: Target, job: Job, index: int, begin: float, wanted: float) -> Heard:
    """Sends one request and waits for all of its answer; it raises nothing that a server can cause.

    Args:
        target: Whom to ask.
        job: For what.
        index: The request's number in the run.
        begin: The loop's time at which the run began.
        wanted: When the user wanted to ask, in seconds from there.
    """
    now = asyncio.get_running_loop().time
    path = target.place.path + ("/chat/completions" if target.is_chat else "/completions")
    message = target.message("POST", path, target.body(job, index))
    sent, arrived, error = now() - begin, list[tuple[float, bytes]](), ""
    try:
        arrived = [(time - begin, data) for time, data in await exchange(target, message)]
    except TimeoutError:
        error = "timeout"
    except OSError as failed:
        error = type(failed).__name__
    return Heard(wanted, sent, now() - begin, arrived, error)


async def ask(target: Target, job: Job, index: int, begin: float, wanted: float) -> Answer:
    """Like `hear`; returns what the user saw."""
    return (await hear(target, job, index, begin, wanted)).answer()


async def get(target: Target, path: str) -> bytes:
    """The body of a path, such as `/v1/models`.

    Raises:
        WorkloadError: The server cannot be reached, or says no.
    """
    of_type(target, Target, "target", "give one: Target(url)", WorkloadError)
    of_type(path, str, "path", "give one, such as '/v1/models'", WorkloadError)
    try:
        read = Reading(await exchange(target, target.message("GET", path)))
    except (OSError, TimeoutError) as error:
        raise WorkloadError(f"{target.url} cannot be reached: {error}; is it served?") from error
    if read.status != 200:
        raise WorkloadError(
            f"{target.url} answers {path} with status {read.status}: {read.error}; give the "
            "address that an OpenAI client takes, mostly with /v1 at its end, and its key."
        )
    return bytes(read.body)


class Reading:
    """Reads an answer out of its bytes.

    Attributes:
        status: HTTP's; 0 if there was none.
        body: All of it, without how it was cut.
        pieces: When each piece of text came.
        num_tokens: As many as the server says, else as there are pieces.
        error: What went wrong.
    """

    def __init__(self, arrived: list[tuple[float, bytes]]) -> None:
        self.status, self.body, self.error = 0, bytearray(), ""
        self.pieces: list[float] = []
        self._said: int | None = None
        self._time, self._line, self._is_done = 0.0, b"", False
        parser = httptools.HttpResponseParser(self)
        try:
            for self._time, data in arrived:
                parser.feed_data(data)
            self.status = parser.get_status_code()
        except httptools.HttpParserError as error:
            self.error = type(error).__name__
        self._judge(is_stream=bool(self.pieces) or self._is_done)

    @property
    def num_tokens(self) -> int:
        """Of the answer."""
        return len(self.pieces) if self._said is None else self._said

    def on_body(self, data: bytes) -> None:
        """A part of the body: whole lines of it are events."""
        self.body += data
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip())

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._is_done = True
            return
        try:
            event = json.loads(data)
            self._said = (event.get("usage") or {}).get("completion_tokens", self._said)
            if event.get("error"):
                self.error = _code(event)
            choices = event.get("choices") or ()
            is_end = not self.pieces and any(choice.get("finish_reason") for choice in choices)
            if is_end or any(map(_text, choices)):  # an answer may be nothing but its end
                self.pieces.append(self._time)
        except (ValueError, AttributeError, RecursionError):
            self.error = "not OpenAI's events"

    def _judge(self, *, is_stream: bool) -> None:
        if self.error:
            return
        if self.status == 0:
            self.error = "no answer"
        elif self.status != 200:
            try:
                self.error = f"{self.status} {_code(json.loads(self.body))}"
            except (ValueError, AttributeError, RecursionError):
                self.error = str(self.status)
        elif is_stream and not self._is_done:
            self.error = "cut off"


def _text(choice: Any) -> str:
    """What a piece says, of a completion or of a chat; thoughts count, too."""
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or delta.get("reasoning_content") or ""


def _code(body: Any) -> str:
    """An error's name, in OpenAI's shape."""
    error = body.get("error") or {}
    return str(error.get("code") or error.get("type") or "error")[:60]
