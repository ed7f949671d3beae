"""A wire that can be cut after any byte, or go silent, between an engine and a host."""

import socket
import threading
from contextlib import suppress
from typing import Self

UP, DOWN = 0, 1
"""Towards the host, and back."""


class Wire:
    """Carries bytes of one connection after the other to a port of this machine.

    Attributes:
        left: How many bytes still pass, each way, before both ends are cut; None: all.
        is_silent: Nothing is carried, and nobody is told.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left: list[int | None] = [None, None]
        self.is_silent = False
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.close()
                    continue
                self._ends = [near, far]
                for way, ends in ((UP, (near, far)), (DOWN, (far, near))):
                    thread = threading.Thread(target=self._carry, args=(way, *ends))
                    thread.start()
                    self._threads.append(thread)

    def _carry(self, way: int, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                left = self.left[way]
                if left is not None:
                    data = data[:left]
                    self.left[way] = left - len(data)
                if not self.is_silent:
                    sink.sendall(data)
                if self.left[way] == 0:
                    break
        self.cut(source, sink)

    def cut(self, *ends: socket.socket) -> None:
        """Ends a connection; without arguments, the newest one."""
        for end in ends or self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
