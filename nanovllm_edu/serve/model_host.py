"""`ModelHost`: has a model, and runs the plans of an engine that is elsewhere.

    connection   opens      it says what the model is; rows of the session before are forgotten
                 a plan     is checked, launched; its output is sent as soon as it is there
                 fails      it says why, and the session ends
                 ends       whoever connects next begins anew

One engine at a time: a plan makes sense only to who has seen all those before it. A browser is
never answered, so that no page can reach a model on its reader's machine. One thread launches while
another waits for outputs and sends them: a GPU is given the next step before this one is done. On a
CPU a step is done when it is launched; then its output is sent at once, since a second thread would
only take turns with the first one.

Read next: `cli/runner.py`.
"""

from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from nanovllm_edu.core.model_runner import AskableTicket, ModelRunner, Ticket
from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.remote import PING_SECONDS
from nanovllm_edu.serve.address import Address, bound_socket, url_of
from nanovllm_edu.serve.keys import which_key
from nanovllm_edu.wire.bounds import check_plan
from nanovllm_edu.wire.messages import (
    MAX_BYTES,
    Failure,
    Hello,
    decode_plan,
    encode,
    encode_output,
)

HANDOVER_SECONDS = 1.0
"""So long a new session waits for the one before, which may be about to end."""


class ModelHost:
    """Serves a runner, in threads of its own.

    Args:
        runner: Has the model; it is the caller's to close.
        hello: What an engine must know of it.
        address: Where to listen.
        keys: API keys, one of which a client must send; none: none is asked for.

    Raises:
        ConfigError: Nothing can listen there.
    """

    def __init__(
        self, runner: ModelRunner, hello: Hello, address: Address, keys: tuple[str, ...] = ()
    ) -> None:
        self._runner, self._hello, self._keys = runner, hello, keys
        self._is_taken = Lock()
        socket = bound_socket(address)
        self.url = url_of(socket).replace("http", "ws", 1)
        self._server = serve(
            self._answer,
            sock=socket,
            origins=[None],  # a browser always names one
            process_request=self._check,
            compression=None,
            server_header=None,
            max_size=MAX_BYTES,
            open_timeout=10.0,
            close_timeout=1.0,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
        )
        # A daemon, and so is every thread that it makes: who forgets to close a host can still end.
        self._thread = Thread(
            target=self._server.serve_forever, name="nanovllm-edu runner", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the session, after the step that runs, and listens no more."""
        self._server.shutdown()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers /health, and asks for the key."""
        if request.path == "/health":
            return connection.respond(200, "ok\n")
        given = request.headers.get("Authorization", "")
        if self._keys and which_key(given, self._keys) is None:
            return connection.respond(401, "the API key is missing or wrong\n")
        return None

    def _answer(self, connection: ServerConnection) -> None:
        if not self._is_taken.acquire(timeout=HANDOVER_SECONDS):
            text = "another engine has the model; try again when it has closed its own."
            connection.send(encode(Failure(text)))
            return
        try:
            _serve_session(connection, self._runner, self._hello)
        finally:
            self._is_taken.release()


Launched = SimpleQueue[tuple[int, Ticket] | Exception | None]
"""Steps whose outputs are to be sent; then why there are no more."""


def _serve_session(connection: ServerConnection, runner: ModelRunner, hello: Hello) -> None:
    """Runs plans until the connection ends or something fails."""
    launched: Launched = SimpleQueue()
    sender = Thread(target=_send, args=(connection, launched), name="nanovllm-edu outputs")
    sender.start()
    try:
        runner.launch(StepPlan(0, left=tuple(range(hello.max_num_seqs)))).wait()
        connection.send(encode(hello))
        while True:
            plan = decode_plan(connection.recv(decode=False))
            check_plan(plan, hello)
            ticket = runner.launch(plan)
            if isinstance(ticket, AskableTicket) and ticket.is_done:
                connection.send(encode_output(plan.step_id, ticket.wait()))
            else:
                launched.put((plan.step_id, ticket))
    except ConnectionClosed:
        launched.put(None)
    except Exception as error:  # whatever a device raises: the engine is told, and begins anew
        launched.put(error)
    sender.join()


def _send(connection: ServerConnection, launched: Launched) -> None:
    """Sends outputs in the order of their steps; at last, what failed."""
    try:
        while isinstance(step := launched.get(), tuple):
            connection.send(encode_output(step[0], step[1].wait()))
        failure = step
    except ConnectionClosed:
        return
    except Exception as error:
        failure = error
    if failure is not None:
        with suppress(ConnectionClosed):
            connection.send(encode(Failure(f"{type(failure).__name__}: {failure!s:.1000}")))
    connection.close()


def hello_of(engine: LLMEngine, choices: dict[str, tuple[str, str]]) -> Hello:
    """What an engine elsewhere must know of the model of one that is here.

    Args:
        engine: It has made room for its own steps, and nobody else's are larger.
        choices: What was chosen when it started, as in `LLM.info`.
    """
    config = engine.config
    sizes = config.max_num_seqs, config.max_num_batched_tokens, config.prefill_chunk_size
    return Hello.of(engine.runner, *sizes, choices)
