"""`serve`: requests come at their time, steps take theirs, and what users waited is written down.

    server = Server(engine)                # by the engine's clock
    for answer in serve(server, arrivals):
        answer.ttft, answer.tpot

The same lines serve a real engine and a virtual one: only who moves the clock differs. Between two
steps, requests whose time has come are added; if there is nothing to do, the clock is put forward
to the next one. Answers are yielded as they end and then forgotten, so memory stays small.

Read next: `summary.py`, what many answers come to.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import NamedTuple, cast

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, TraceError, of_type, shown
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.virtual.arrivals import Arrival, in_order
from nanovllm_edu.virtual.clock import Clock


class Answer(NamedTuple):
    """What became of a request. All times in seconds.

    Attributes:
        arrival: The request.
        token_times: When each of its tokens came; empty if it failed before the first one.
        end: When it was over.
        reason: Why: "length", "stop", "abort" or "error".
        num_cached_tokens: Of its prompt, when it first started.
    """

    arrival: Arrival
    token_times: list[float]
    end: float
    reason: str
    num_cached_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        """How many tokens it has."""
        return len(self.token_times)

    @property
    def ttft(self) -> float:
        """Time to first token."""
        return (self.token_times[0] if self.token_times else self.end) - self.arrival.at

    @property
    def tpot(self) -> float:
        """Mean time per output token behind the first one; 0 if there is none."""
        times = self.token_times
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0

    @property
    def gaps(self) -> list[float]:
        """Between each two tokens."""
        return [after - before for before, after in pairwise(self.token_times)]


class Server:
    """An engine that serves arrivals by its clock.

    Args:
        engine: With a clock that can be put forward: a `VirtualRunner`'s, or a `HostClock` that was
            put in `engine.clock`.
        depth: Steps that are planned ahead, as in `engine.run`.

    Raises:
        ConfigError: Its clock cannot be put forward, or `depth` is no number of steps.
    """

    def __init__(self, engine: LLMEngine, depth: int = 0) -> None:
        if not hasattr(getattr(engine, "clock", None), "skip_to"):
            raise ConfigError(
                f"{shown(engine)} has no clock that can be put forward; give an engine with "
                "`engine.clock = HostClock()`, or a virtual one."
            )
        if (number := as_integer(depth)) is None or number < 0:
            raise ConfigError(f"depth={shown(depth)} is not an integer from 0 on.")
        self.engine, self.depth = engine, depth
        self.clock = cast(Clock, engine.clock)
        self.recorder: Recorder | None = None
        self._open: dict[int, tuple[Arrival, Sequence]] = {}

    @property
    def num_unfinished(self) -> int:
        """Requests that wait or run."""
        return len(self._open)

    @property
    def num_unfinished_tokens(self) -> int:
        """Tokens that its requests still have to compute, prompts and answers."""
        return sum(
            arrival.max_tokens + seq.num_prompt_tokens - seq.num_computed_tokens
            for arrival, seq in self._open.values()
        )

    def add(self, arrival: Arrival) -> int:
        """Queues a request now and returns its seq_id."""
        of_type(
            arrival, Arrival, "arrival", "make one: Arrival(at, prompt, max_tokens)", TraceError
        )
        params = SamplingParams(temperature=0, max_tokens=arrival.max_tokens, ignore_eos=True)
        seq = self.engine.add_requests([(arrival.prompt, params)])[0]
        self._open[seq.seq_id] = arrival, seq
        return seq.seq_id

    def step(self) -> list[Answer]:
        """Takes a step and returns what ended in it."""
        stepper = self.engine if self.recorder is None else self.recorder  # an empty one is false
        record = stepper.advance(self.depth)
        return [] if record is None else [self._close(*end) for end in record.finished.items()]

    def take_all(self) -> list[Arrival]:
        """Aborts everything and returns the requests, as when a machine dies."""
        unfinished = [arrival for arrival, _ in self._open.values()]
        self.engine.drop([seq for _, seq in self._open.values()])
        self._open.clear()
        return unfinished

    def _close(self, seq_id: int, reason: str) -> Answer:
        arrival, seq = self._open.pop(seq_id)
        cached = seq.num_prefix_hit_tokens or 0
        return Answer(arrival, seq.token_times, self.clock(), reason, cached)


def serve(
    server: Server, arrivals: Iterable[Arrival], max_waiting: int | None = None
) -> Iterator[Answer]:
    """Serves until nobody is left, and yields the answers as they end.

    Args:
        server: With nothing to do.
        arrivals: In order of time; read as they come.
        max_waiting: No more than so many wait in the engine, and the others in front of it, where
            they cost nothing. They have arrived all the same.

    Raises:
        ConfigError: That is no server, or `max_waiting` no number of requests.
        TraceError: Times are negative, or go backwards, or something is no Arrival.
        RequestError: The engine cannot take one.
    """
    return chain.from_iterable(turns(server, arrivals, max_waiting))


def turns(
    server: Server, arrivals: Iterable[Arrival], max_waiting: int | None = None
) -> Iterator[list[Answer]]:
    """The same, step by step: what ended in each."""
    if max_waiting is not None and (as_integer(max_waiting) or 0) < 1:
        raise ConfigError(f"max_waiting={shown(max_waiting)} is not an integer from 1 on, or None.")
    of_type(server, Server, "server", "make one of an engine, Server(engine)")
    return _turns(server, in_order(arrivals), max_waiting)


def _turns(
    server: Server, coming: Iterator[Arrival], max_waiting: int | None
) -> Iterator[list[Answer]]:
    upcoming = next(coming, None)
    waiting = server.engine.scheduler.waiting
    while upcoming is not None or server.num_unfinished:
        if not server.num_unfinished and upcoming is not None:
            server.clock.skip_to(upcoming.at)
        now = server.clock()
        while upcoming is not None and upcoming.at <= now:
            if max_waiting is not None and len(waiting) >= max_waiting:
                break
            server.add(upcoming)
            upcoming = next(coming, None)
        yield server.step()
