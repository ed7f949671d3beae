"""`Server`: listens, and ends well.

On SIGTERM or Ctrl-C it takes nothing new, finishes the answers that it has begun, for at most
`drain_seconds`, and then closes the engine. A second Ctrl-C does not wait.

    serve(served, address)             in the main thread, until a signal comes
    with ServerThread(...) as server:  in a thread of its own, as in a notebook

Read next: `cli/serve.py`.
"""

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Thread
from types import FrameType
from typing import Self

import uvicorn

from nanovllm_edu.errors import ConfigError, NanoVLLMError
from nanovllm_edu.serve.app import Served, create_app

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: An address of this machine.
        port: 0 takes any that is free.
        drain_seconds: How long an ending server finishes what it has begun.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    drain_seconds: float = 30.0

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def allowed_hosts(address: Address, names: list[str], has_keys: bool) -> frozenset[str]:
    """The names that a server answers to.

    Raises:
        ConfigError: Others could reach it and no API key is asked for.
    """
    if not address.is_loopback and not has_keys:
        raise ConfigError(
            f"host={address.host!r} can be reached from other machines; give an --api-key, or "
            "listen on 127.0.0.1."
        )
    if not address.is_loopback and not names:
        return frozenset()  # by whatever name: without the key nothing is answered
    return LOOPBACK_NAMES | {address.host, *map(str.lower, names)}


class Server(uvicorn.Server):
    """uvicorn's, which says that it is about to end before it waits."""

    def __init__(self, served: Served, address: Address) -> None:
        self.served = served
        config = uvicorn.Config(
            create_app(served),
            host=address.host,
            port=address.port,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
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


def bound_socket(address: Address) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: The address is not this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(2048)
    except (OSError, OverflowError) as error:
        sock.close()
        raise ConfigError(
            f"nothing can listen on host={address.host!r}, port={address.port}: {error}; choose "
            "another port, or 0 for any that is free."
        ) from error
    return sock


class ServerThread:
    """A server in a thread of its own.

    Args:
        served: What it serves; its engine is the caller's to close.
        address: Where.
    """

    def __init__(self, served: Served, address: Address) -> None:
        self.server = Server(served, address)
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


def url_of(sock: socket.socket) -> str:
    """Where a socket listens."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        Server(served, address).run(sockets=[sock])
    if not served.is_draining:
        raise NanoVLLMError("the server ended by itself; its log above says why.")
