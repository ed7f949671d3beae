"""`RemoteRunner`: the engine is here, the model at the other end of a wire.

    here     plan k+1, send it                 commit k
    there    run step k                        run step k+1

`launch` sends a plan and returns; `wait` blocks until its output has come back. So with
`run(depth=1)` the way there and back is covered by the step before it.

The wire is a WebSocket: HTTP that stays open, with messages in order both ways. A connection is a
session. While it lives, the other side keeps rows and cache; when it ends, for whatever reason, all
of that is gone. Whoever waits then gets a `DeviceLostError`, the engine puts every sequence back in
the queue, and the next step connects anew. Sampling depends on (seed, position) alone, so the same
tokens come.

It needs no torch. Read next: `runners/awaited.py`; `serve/model_host.py`, the other end.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import TIMEOUT_MAX, Thread
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.sync.client import ClientConnection, connect

from nanovllm_edu.core.plan import Spans, StepOutput, StepPlan
from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import (
    ConfigError,
    DeviceLostError,
    EngineClosedError,
    RequestError,
    WireError,
    shown,
)
from nanovllm_edu.runners.awaited import Awaited
from nanovllm_edu.wire.bounds import check_output
from nanovllm_edu.wire.messages import (
    MAX_BYTES,
    Hello,
    decode,
    decode_output,
    encode_plan,
)

STEP_SECONDS = 300.0
"""Longer than any step that is not lost: kernels may have to be compiled for the first one."""
PING_SECONDS = 10.0
"""Each side asks the other so often whether it is there, and waits as long for the answer."""


class RemoteRunner:
    """A `ModelRunner` whose model is at another address, where `nanovllm-edu runner` serves it.

    Args:
        url: Such as "ws://127.0.0.1:8001"; "wss://..." behind a proxy that speaks TLS.
        api_key: What the other side asks for.
        connect_seconds: How long to wait for a connection, and then for its first message.
        step_seconds: How long to wait for the output of a step, when those before it are here. A
            host whose device hangs goes on answering pings.

    Raises:
        ConfigError: The URL is none, or a number of seconds is not above 0.
        DeviceLostError: Nothing answers there, or it does not let us in.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_seconds: float = 10.0,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        if not _is_of_a_runner(url):
            raise ConfigError(f"url={shown(url)} is none of a runner; give ws://HOST:PORT.")
        for name, value in (("connect_seconds", connect_seconds), ("step_seconds", step_seconds)):
            if not is_number(value) or not 0 < value <= TIMEOUT_MAX:
                raise ConfigError(f"{name}={shown(value)} is not a number of seconds above 0.")
        self.url, self._api_key, self._connect_seconds = url, api_key, connect_seconds
        self.step_seconds = step_seconds
        self._is_closed = False
        self._session: Session | None = self._connect()
        self.hello = self._session.hello
        self.max_num_seqs = self.hello.max_num_seqs
        self.max_num_batched_tokens = self.hello.max_num_batched_tokens
        self.prefill_chunk_size = self.hello.prefill_chunk_size
        self.num_blocks = self.hello.num_blocks
        self.block_size = self.hello.block_size
        self.vocab_size = self.hello.vocab_size
        self.max_model_len = self.hello.max_model_len
        self.eos_token_ids = frozenset(self.hello.eos_token_ids)

    @property
    def choices(self) -> dict[str, tuple[str, str]]:
        """Where the model is, and what was chosen there: option -> (value, why)."""
        where = (self.url, f"{self.hello.model} is there; so is all that is below")
        return {"where the model is": where, **self.hello.choices}

    def launch(self, plan: StepPlan) -> "RemoteTicket":
        """Sends a plan. If the connection is lost, the ticket says so.

        Raises:
            EngineClosedError: The runner was closed.
            DeviceLostError: The connection was lost before, and there is no new one.
            WireError: The plan is too long to be sent.
        """
        if self._is_closed:
            raise EngineClosedError("this runner is closed; make a new one.")
        if self._session is None:
            self._session = self._reconnect()
        return RemoteTicket(self, self._session, plan.spans, self._session.send(plan))

    def forget(self, session: "Session") -> None:
        """The engine has been told that this session is lost: the next launch makes a new one."""
        if self._session is session:
            self._session = None

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> "RemoteRunner":
        """Is refused: the one who has the model has one cache.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            f"the model at {self.url} has one cache, so its engine cannot be forked; fork an "
            "engine whose model is here."
        )

    def close(self) -> None:
        """Ends the session. Calling it again does nothing."""
        self._is_closed = True
        if self._session is not None:
            self._session.close()

    def _connect(self) -> "Session":
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        try:
            connection = connect(
                self.url,
                additional_headers=headers,
                compression=None,  # numbers that hardly shrink, and a step would wait for it
                proxy=None,
                max_size=MAX_BYTES,
                open_timeout=self._connect_seconds,
                close_timeout=1.0,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                create_connection=Connection,
            ).__enter__()  # it is left by `Session.close`
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise DeviceLostError(
                f"no runner answers at {self.url} ({error!s:.300}); start one with `nanovllm-edu "
                "runner`, or give the right address and key."
            ) from error
        try:
            assert isinstance(connection, Connection)
            hello = decode(_received(connection, self._connect_seconds), Hello)
            return Session(connection, hello, self.url)
        except (ConnectionClosed, TimeoutError, WireError) as error:
            connection.close()
            raise DeviceLostError(f"the runner at {self.url} says: {error!s:.300}") from error

    def _reconnect(self) -> "Session":
        session = self._connect()
        if session.hello.shape != self.hello.shape:
            session.close()
            raise DeviceLostError(
                f"another model answers at {self.url} now: {session.hello.shape} instead of "
                f"{self.hello.shape}; make a new engine."
            )
        return session

    def __repr__(self) -> str:
        return f"RemoteRunner({self.url!r}, {self.hello.model})"


@dataclass(slots=True)
class RemoteTicket:
    """A step that was sent."""

    runner: RemoteRunner
    session: "Session"
    spans: Spans
    output: "Future[StepOutput]"

    def wait(self) -> StepOutput:
        """Blocks until its output is here.

        Raises:
            DeviceLostError: It will never come, did not come in time, or is none of this step.
        """
        seconds = self.runner.step_seconds
        try:
            output = self.output.result(seconds)
            check_output(output, self.spans, self.session.hello)
        except DeviceLostError:
            self.runner.forget(self.session)
            raise
        except TimeoutError:
            self.runner.forget(self.session)
            self.session.close()
            why = f"no output within step_seconds={seconds:g}: it hangs, or needs more"
            raise self.session.loss(why) from None
        except WireError as error:
            self.runner.forget(self.session)
            self.session.close()
            raise self.session.loss(str(error)) from error
        return output


class Connection(ClientConnection):
    """A connection whose reading thread takes in whole messages itself, and wakes nobody for it.

    It is one thread less to wake in a step: the engine's process takes a twentieth less of the CPU.

    Attributes:
        take: Takes in a message, or leaves it to who calls `recv`: then it is False.
    """

    take: Callable[[bytes], bool] | None = None

    def process_event(self, event: Event) -> None:
        """Called in the reading thread for whatever arrives; a message in pieces is not taken."""
        if isinstance(event, Frame) and self._takes(event):
            return
        super().process_event(event)

    def _takes(self, frame: Frame) -> bool:
        is_message = frame.opcode is Opcode.BINARY and frame.fin
        return is_message and self.take is not None and self.take(bytes(frame.data))


class Session:
    """One connection, and the outputs that are awaited through it."""

    def __init__(self, connection: Connection, hello: Hello, url: str) -> None:
        self.hello = hello
        self._connection, self._url = connection, url
        self._awaited = Awaited()
        connection.take = self._take
        self._thread = Thread(target=self._receive, name="nanovllm-edu remote", daemon=True)
        self._thread.start()

    def send(self, plan: StepPlan) -> "Future[StepOutput]":
        """Sends a plan; its output comes later."""
        data = encode_plan(plan)
        output = self._awaited.expect(plan.step_id)
        try:
            self._connection.send(data)
        except (ConnectionClosed, OSError):
            self._connection.close()  # the thread tells those who wait
        except BaseException:  # an interrupt: half of the plan may be out, and nothing can follow
            self._connection.close()
            raise
        return output

    def _take(self, data: bytes) -> bool:
        """Takes in an output; all else is for `_receive`, which may close the connection."""
        try:
            self._awaited.arrive(*decode_output(data))
        except WireError:
            return False
        return True

    def _receive(self) -> None:
        """Waits for what is no output, or comes in pieces, until the connection ends."""
        why = "the connection was closed"
        try:
            while True:
                self._awaited.arrive(*decode_output(_received(self._connection, None)))
        except (ConnectionClosed, OSError, WireError) as error:
            why = str(error)
        self._connection.close()
        self._awaited.lose(self.loss(why))

    def loss(self, why: str) -> DeviceLostError:
        """The error for who waits."""
        return DeviceLostError(
            f"the runner at {self._url} was lost in a step ({why:.500}); its sequences wait again, "
            "and the next step connects anew."
        )

    def close(self) -> None:
        """Ends the session; calling it again does nothing."""
        self._connection.close()
        self._thread.join()


def _is_of_a_runner(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError):  # a port beyond 65535, half an address; no text at all
        return False


def _received(connection: ClientConnection, timeout: float | None) -> bytes:
    return connection.recv(timeout, decode=False)
