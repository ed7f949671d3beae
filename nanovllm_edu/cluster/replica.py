"""`Replica`: one of many servers, which may be drained, die, and come back empty.

Read next: `virtual/serving.py`, the server that it is; `cluster.py`, who steps it.
"""

from nanovllm_edu.cluster.router import Load
from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, shown
from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.calibration import Calibration
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.serving import Answer, Server


class Replica:
    """A server, its number, and whether it takes requests.

    Attributes:
        number: By which routers name it.
        server: Its engine, by its own clock.
        takes_requests: False while it is drained or dead.
        lost: What it would have answered, had it lived to the end of its step.
    """

    def __init__(self, number: int, engine: LLMEngine) -> None:
        self.number, self.server = number, Server(engine)
        self.takes_requests = True
        self.lost: list[Arrival] = []

    @property
    def is_busy(self) -> bool:
        """Whether it has something to do."""
        return self.server.num_unfinished > 0

    @property
    def now(self) -> float:
        """When its last step ended."""
        return self.server.clock()

    @property
    def load(self) -> Load:
        """What a router is told."""
        return Load(self.number, self.server.num_unfinished, self.server.num_unfinished_tokens)

    def take(self, arrival: Arrival, now: float) -> None:
        """A request is here; it starts with the next step."""
        self.server.clock.skip_to(
            now
        )  # idle until now; or in the middle of a step, which ends later
        self.server.add(arrival)

    def step(self) -> list[Answer]:
        """Takes a step and returns what ended in it."""
        return self.server.step()

    def die(self) -> list[Arrival]:
        """Loses its cache and its requests; these are returned."""
        self.takes_requests = False
        lost, self.lost = [*self.lost, *self.server.take_all()], []
        return sorted(lost, key=lambda arrival: arrival.at)

    def begin_anew(self, now: float) -> None:
        """Takes requests, with an empty cache, from now on."""
        if not self.is_busy:
            self.server.engine.scheduler.block_manager.reset_prefix_cache()
        self.server.clock.skip_to(now)
        self.takes_requests = True

    def __repr__(self) -> str:
        return f"Replica({self.number}, {self.load.num_requests} requests)"


def replicas(
    calibration: Calibration, count: int, num_blocks: int, **options: object
) -> list[LLMEngine]:
    """So many virtual engines, all alike.

    Args:
        calibration: Of the device that each has.
        count: How many.
        num_blocks: Blocks in the pool of each.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: There are to be fewer than one, or an option does not do.
    """
    if (as_integer(count) or 0) < 1:
        raise ConfigError(f"count={shown(count)} is not an integer from 1 on.")
    return [virtual_engine(calibration, num_blocks, **options) for _ in range(count)]
