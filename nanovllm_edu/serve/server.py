"""`Server`: listens, and ends well.

On SIGTERM or Ctrl-C it takes nothing new, finishes the answers that it has begun, for at most
`drain_seconds`, and then closes the engine. A second Ctrl-C does not wait.

    serve(served, address)             in the main thread, until a signal comes
    with ServerThread(...) as server:  in a thread of its own, as in a notebook

Read next: `cli/serve.py`.
"""

import gc
import signal
from collections.abc import Callable
from threading import Thread
from types import FrameType
from typing import Self

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.serve.address import Address, bound_socket, url_of
from nanovllm_edu.serve.app import Served, create_app


class Server(uvicorn.Server):
    """uvicorn's, which says that it is about to end before it waits."""

    def __init__(self, served: Served, address: Address, *, says_all: bool = False) -> None:
        self.served = served
        config = uvicorn.Config(
            create_app(served),
            host=address.host,
            port=address.port,
            lifespan="off",
            ws="none",
            # Whoever wants to read every line has handlers of their own; uvicorn's would print.
            log_config=None if says_all else LOGGING_CONFIG,
            log_level="info" if says_all else "warning",
            access_log=says_all,
            server_header=False,
            proxy_headers=False,
            # Beyond this a connection is refused by uvicorn itself: many of them cost memory.
            limit_concurrency=4 * served.rules.limits.max_streams,
            timeout_graceful_shutdown=max(1, round(address.drain_seconds)),
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: from now on nothing new is taken. Ending well is the answer to a SIGTERM."""
        self.served.is_draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def end(self) -> None:
        """Like a SIGTERM, from any thread."""
        self.served.is_draining = True
        self.should_exit = True


class ServerThread:
    """A server in a thread of its own.

    Args:
        served: What it serves; its engine is the caller's to close.
        address: Where.
        says_all: Whether each request is a line of the logger "uvicorn.access".
    """

    def __init__(self, served: Served, address: Address, *, says_all: bool = False) -> None:
        self.server = Server(served, address, says_all=says_all)
        self._socket = bound_socket(address)
        self._thread = Thread(target=self._run, name="nanovllm-edu server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return url_of(self._socket)

    def _run(self) -> None:
        self.server.run(sockets=[self._socket])

    def close(self) -> None:
        """Finishes what it has begun, and ends."""
        self.server.end()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def serve(served: Served, address: Address, tell: Callable[[str], None]) -> None:
    """Serves until a signal comes.

    Args:
        served: What.
        address: Where.
        tell: Is told the URL when it listens.

    Raises:
        ConfigError: Nothing can listen there.
        NanoVLLMError: The server ended by itself.
    """
    with bound_socket(address) as sock:
        tell(url_of(sock))
        # What was loaded stays. Else the garbage collector walks all of it (0.1 to 0.2 s in which
        # no step is taken) whenever much that is kept has come, such as the steps of a watcher.
        gc.collect()
        gc.freeze()
        Server(served, address).run(sockets=[sock])
    if not served.is_draining:
        raise NanoVLLMError("the server ended by itself; its log above says why.")
