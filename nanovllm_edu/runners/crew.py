"""`Crew`: the processes that share a model, and the pipes to them.

Everything goes to all of them in the same order, and they answer in that order: the third answer of
a rank belongs to the third step. One that ends, fails or stops ends all of them.

Read next: `runners/rank.py`, the other end.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from nanovllm_edu.core.plan import StepOutput
from nanovllm_edu.errors import DeviceLostError, WireError
from nanovllm_edu.runners.awaited import Awaited
from nanovllm_edu.shield import Shield
from nanovllm_edu.wire.messages import (
    MAX_BYTES,
    Hello,
    Message,
    Turn,
    decode,
    decode_output,
    encode,
)

PACKAGES = Path(__file__).parents[2]
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class Crew:
    """Ranks, of which each has a part of the model.

    Args:
        order: What each of them is told at start, but for who it is and where they meet.

    Attributes:
        ranks: The processes.
        hellos: What they said when all of them had their parts.

    Raises:
        DeviceLostError: A rank cannot start; says why.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._lock = Lock()
        self._awaited = Awaited()
        self._num_sent = 0
        self._addressee = 0
        self.ranks: list[Rank] = []
        try:
            with tempfile.TemporaryDirectory() as meeting:  # they need it until all are there
                order = order | {"meeting": f"{meeting}/meeting", "engine": os.getpid()}
                for rank in range(order["num_ranks"]):
                    self.ranks.append(Rank.start(rank, order))
                self.hellos = self._hear()
        except (EOFError, OSError, WireError) as error:
            raise self._ended(error) from error
        except BaseException:
            self._kill()
            raise
        self._thread = Thread(target=self._receive, name="nanovllm-edu ranks", daemon=True)
        self._thread.start()

    def _hear(self) -> list[Hello]:
        """What the ranks say when all of them have their parts."""
        heard: dict[Any, Hello] = {}
        pipes: list[Any] = [rank.pipe for rank in self.ranks]
        while len(heard) < len(pipes):
            for pipe in wait([pipe for pipe in pipes if pipe not in heard]):
                assert isinstance(pipe, Connection)
                heard[pipe] = decode(pipe.recv_bytes(MAX_BYTES), Hello)
        return [heard[pipe] for pipe in pipes]

    def launch(self, number: int, data: bytes) -> "Future[StepOutput]":
        """Sends a plan, as bytes, to a runner of all ranks.

        Raises:
            DeviceLostError: A rank has ended, and so have all.
        """
        with self._lock, Shield():  # all of them get it, or their next sums are of different steps
            if self._awaited.loss is not None:
                raise self._awaited.loss
            if number != self._addressee:
                self._send(encode(Turn(number)))
                self._addressee = number
            output = self._awaited.expect(self._num_sent)
            self._num_sent += 1
            self._send(data)
        return output

    def tell(self, message: Message) -> None:
        """Sends something that nobody answers."""
        with self._lock, Shield():
            self._send(encode(message))

    def _send(self, data: bytes) -> None:
        for rank in self.ranks:
            with suppress(OSError):  # the thread tells those who wait
                rank.pipe.send_bytes(data)

    def _receive(self) -> None:
        """Takes in outputs until a rank ends."""
        numbers: dict[Any, int] = {rank.pipe: rank.number for rank in self.ranks}
        num_heard = [0] * len(numbers)
        heard: dict[int, dict[int, StepOutput]] = {}
        try:
            while True:
                for pipe in wait(list(numbers)):
                    assert isinstance(pipe, Connection)
                    _, output = decode_output(pipe.recv_bytes(MAX_BYTES))
                    rank = numbers[pipe]
                    outputs = heard.setdefault(num_heard[rank], {})
                    outputs[rank] = output
                    if len(outputs) == len(numbers):
                        self._awaited.arrive(num_heard[rank], merged(heard.pop(num_heard[rank])))
                    num_heard[rank] += 1
        except (EOFError, OSError, WireError) as error:
            self._awaited.lose(self._ended(error))

    def _ended(self, error: Exception) -> DeviceLostError:
        """Ends all ranks; says which one was the first, and why."""
        said = f"one of them says {error!s:.500}" if isinstance(error, WireError) else ""
        killed = [rank.describe() for rank in self.ranks if rank.was_killed()]
        self._kill()
        why = ", and ".join(killed) or said.rstrip(".") or "one of them ended"
        return DeviceLostError(
            f"the {len(self.ranks)} ranks that share the model are gone: {why}; what is not "
            "finished waits, and needs a new engine."
        )

    def _kill(self) -> None:
        for rank in self.ranks:
            rank.end()

    def close(self) -> None:
        """Ends the ranks."""
        for rank in self.ranks:
            rank.let_go()
        self._thread.join()


def merged(outputs: dict[int, StepOutput]) -> StepOutput:
    """What rank 0 says of a step, with the times of all."""
    first = outputs[0]
    times = tuple(outputs[rank].timings for rank in range(len(outputs)))
    timings = {phase: seconds for phase, seconds in first.timings.items() if phase != "all-reduce"}
    return replace(first, timings=timings, rank_timings=times)


@dataclass(slots=True)
class Rank:
    """A process, and the pipe to it."""

    number: int
    process: "subprocess.Popen[bytes]"
    pipe: Connection
    ending: Any = field(default_factory=Lock)

    @classmethod
    def start(cls, number: int, order: dict[str, Any]) -> "Rank":
        """Starts a new Python, which gets its order as JSON and a pipe to speak through."""
        ours, theirs = socket.socketpair()
        with theirs:
            words = [str(theirs.fileno()), json.dumps(order | {"rank": number})]
            process = subprocess.Popen(
                [sys.executable, "-m", "nanovllm_edu.runners.rank", *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # gloo says there that it has found the others
                process_group=0,  # a Ctrl-C, which all of a group get, is for the engine
                env=_environment(order["num_ranks"]),
            )
        return cls(number, process, Connection(ours.detach()))

    def was_killed(self) -> bool:
        """Whether it did not end by itself. (A rank that fails says so, and ends.)"""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)
        return self.process.returncode not in (None, 0)

    def describe(self) -> str:
        """How it ended."""
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return f"rank {self.number} {how}"

    def let_go(self) -> None:
        """Says good-bye, which is an empty message; ends it if it does not listen."""
        with suppress(OSError):
            self.pipe.send_bytes(b"")
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        self.end()

    def end(self) -> None:
        """Ends it; calling it again does nothing. Two threads may: who closes, and who receives."""
        with self.ending:
            self.process.kill()
            self.process.wait()
            self.pipe.close()


def _environment(num_ranks: int) -> dict[str, str]:
    """A rank finds this package, meets the others on this machine, and has its share of cores."""
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = max(1, (os.cpu_count() or 1) // num_ranks)
    own = {"PYTHONPATH": os.pathsep.join(paths), "GLOO_SOCKET_IFNAME": LOOPBACK}
    return {"OMP_NUM_THREADS": str(threads), **os.environ, **own}
