"""`TensorParallelRunner`: several processes share a model, each with a part of every matrix.

    engine ── plan, as bytes ──┬──► rank 0 ── output, as bytes ──► engine
                               ├──► rank 1
                               └──► rank 2       between them: sums and the vocabulary, in each step

The ranks are ordinary runners with narrower models (`models/shard.py`), in processes of their own:
no interpreter's lock is between them, and on GPUs each has one. They are started as new Python
processes, not as copies of this one: it works from a notebook, and whatever threads there are.

One that ends, fails or stops ends all of them. Whoever waits gets a `DeviceLostError` that says
which one, and why.

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
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.errors import DeviceLostError, EngineClosedError, RequestError, WireError
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.models.shard import Shard
from nanovllm_edu.runners.awaited import Awaited
from nanovllm_edu.shield import Shield
from nanovllm_edu.wire.messages import MAX_BYTES, Hello, decode, decode_output, encode_plan

RANK_OPTIONS = frozenset(
    {
        "block_size",
        "num_blocks",
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
        "dtype",
        "weight_dtype",
        "device",
        "attention_backend",
        "gpu_memory_utilization",
        "enforce_eager",
    }
)
"""Options that are a rank's, not the engine's."""

MEET_SECONDS = 6.0
"""In a step all ranks do the same work: one that the others wait for so long has stopped."""

PACKAGES = Path(__file__).parents[2]
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class TensorParallelRunner:
    """A `ModelRunner` of several processes.

    Args:
        folder: Of the model.
        config: Options; `tensor_parallel_size` is the number of ranks.
        options: Those that somebody asked for.
        eos_token_ids: The tokenizer's ends of a text.

    Raises:
        ConfigError: So many ranks cannot share the model's heads.
        DeviceLostError: A rank cannot start; says why.
    """

    def __init__(
        self,
        folder: Path,
        config: EngineConfig,
        options: dict[str, Any],
        eos_token_ids: frozenset[int],
    ) -> None:
        num_ranks = config.tensor_parallel_size
        Shard(0, num_ranks, read_config(folder))  # refused before anything is started
        order = {
            "folder": str(folder.resolve()),
            "num_ranks": num_ranks,
            "options": {name: options[name] for name in options.keys() & RANK_OPTIONS},
            "eos_token_ids": sorted(eos_token_ids),
            "meet_seconds": MEET_SECONDS,
        }
        self._awaited = Awaited()
        self._is_closed = False
        self._ranks: list[Rank] = []
        try:
            with tempfile.TemporaryDirectory() as meeting:  # they need it until all are there
                order["meeting"] = f"{meeting}/meeting"
                for rank in range(num_ranks):
                    self._ranks.append(Rank.start(rank, order))
                hellos = self._hear()
        except (EOFError, OSError, WireError) as error:
            raise self._ended(error) from error
        except BaseException:
            self._kill()
            raise
        self._take_facts(hellos)
        self._thread = Thread(target=self._receive, name="nanovllm-edu ranks", daemon=True)
        self._thread.start()

    def _take_facts(self, hellos: list[Hello]) -> None:
        hello = hellos[0]
        self.num_blocks = min(one.num_blocks for one in hellos)
        self.block_size = hello.block_size
        self.vocab_size = hello.vocab_size
        self.max_model_len = hello.max_model_len
        self.max_num_seqs = hello.max_num_seqs
        self.max_num_batched_tokens = hello.max_num_batched_tokens
        self.eos_token_ids = frozenset(hello.eos_token_ids)
        why = "asked for by tensor_parallel_size; what is below is of rank 0, which has such a part"
        self.choices = {"ranks": (str(len(hellos)), why), **hello.choices}
        for number, one in enumerate(hellos):
            self.choices[f"rank {number}"] = one.choices[f"rank {number}"]

    def _hear(self) -> list[Hello]:
        """What the ranks say when all of them have their parts."""
        heard: dict[Any, Hello] = {}
        pipes: list[Any] = [rank.pipe for rank in self._ranks]
        while len(heard) < len(pipes):
            for pipe in wait([pipe for pipe in pipes if pipe not in heard]):
                assert isinstance(pipe, Connection)
                heard[pipe] = decode(pipe.recv_bytes(MAX_BYTES), Hello)
        return [heard[pipe] for pipe in pipes]

    def launch(self, plan: StepPlan) -> "RanksTicket":
        """Sends the plan to all ranks.

        Raises:
            EngineClosedError: The runner was closed.
            DeviceLostError: A rank has ended, and so have all.
        """
        if self._is_closed:
            raise EngineClosedError("this runner is closed; make a new engine.")
        if self._awaited.loss is not None:
            raise self._awaited.loss
        data = encode_plan(plan)
        with Shield():  # all of them get it, or their next sums are of different steps
            output = self._awaited.expect(plan.step_id)
            for rank in self._ranks:
                with suppress(OSError):  # the thread tells those who wait
                    rank.pipe.send_bytes(data)
        return RanksTicket(output)

    def _receive(self) -> None:
        """Takes in outputs until a rank ends."""
        numbers: dict[Any, int] = {rank.pipe: rank.number for rank in self._ranks}
        heard: dict[int, dict[int, StepOutput]] = {}
        try:
            while True:
                for pipe in wait(list(numbers)):
                    assert isinstance(pipe, Connection)
                    step_id, output = decode_output(pipe.recv_bytes(MAX_BYTES))
                    outputs = heard.setdefault(step_id, {})
                    outputs[numbers[pipe]] = output
                    if len(outputs) == len(numbers):
                        self._awaited.arrive(step_id, merged(heard.pop(step_id)))
        except (EOFError, OSError, WireError) as error:
            self._awaited.lose(self._ended(error))

    def _ended(self, error: Exception) -> DeviceLostError:
        """Ends all ranks; says which one was the first, and why."""
        said = f"one of them says {error!s:.500}" if isinstance(error, WireError) else ""
        killed = [rank.describe() for rank in self._ranks if rank.was_killed()]
        self._kill()
        why = ", and ".join(killed) or said.rstrip(".") or "one of them ended"
        return DeviceLostError(
            f"the {len(self._ranks)} ranks that share the model are gone: {why}; what is not "
            "finished waits, and needs a new engine."
        )

    def _kill(self) -> None:
        for rank in self._ranks:
            rank.end()

    def fork(
        self, num_blocks: int | None = None, block_size: int | None = None
    ) -> "TensorParallelRunner":
        """Is refused: each rank has one cache.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            "each of the ranks that share this model has one cache, so the engine cannot be "
            "forked; fork one with tensor_parallel_size=1."
        )

    def close(self) -> None:
        """Ends the ranks. Calling it again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for rank in self._ranks:
            rank.let_go()
        self._thread.join()

    def __repr__(self) -> str:
        return f"TensorParallelRunner({len(self._ranks)} ranks)"


def merged(outputs: dict[int, StepOutput]) -> StepOutput:
    """What rank 0 says of a step, with the times of all."""
    first = outputs[0]
    times = tuple(outputs[rank].timings for rank in range(len(outputs)))
    timings = {phase: seconds for phase, seconds in first.timings.items() if phase != "all-reduce"}
    return replace(first, timings=timings, rank_timings=times)


@dataclass(slots=True)
class RanksTicket:
    """A step that was sent to all ranks."""

    output: "Future[StepOutput]"

    def wait(self) -> StepOutput:
        """Blocks until rank 0 has answered.

        Raises:
            DeviceLostError: A rank has ended.
        """
        return self.output.result()


@dataclass(slots=True)
class Rank:
    """A process, and the pipe to it."""

    number: int
    process: "subprocess.Popen[bytes]"
    pipe: Connection

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
        """Ends it; calling it again does nothing."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()


def _environment(num_ranks: int) -> dict[str, str]:
    """A rank finds this package, meets the others on this machine, and has its share of cores."""
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = max(1, (os.cpu_count() or 1) // num_ranks)
    own = {"PYTHONPATH": os.pathsep.join(paths), "GLOO_SOCKET_IFNAME": LOOPBACK}
    return {"OMP_NUM_THREADS": str(threads), **os.environ, **own}
