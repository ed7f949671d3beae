"""Where a server listens, and by which names it may be asked.

Read next: `serve/keys.py`, `serve/server.py`.
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from nanovllm_edu.errors import ConfigError

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
        why = str(error).rstrip(".")
        raise ConfigError(
            f"nothing can listen on host={address.host!r}, port={address.port}: {why}; choose "
            "another port, or 0 for any that is free."
        ) from error
    return sock


def url_of(sock: socket.socket) -> str:
    """Where a socket listens."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
