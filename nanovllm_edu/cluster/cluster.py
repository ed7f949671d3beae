"""`Cluster`: replicas behind a router, on one time line.

Three things can happen next: a request comes, a replica takes a step, or something befalls one. The
earliest goes first. A replica's step is one piece: whoever comes in the middle of it waits for its
end, as at a real one.

    Down(at, replica)    it dies: what it was doing is lost, and its requests are routed anew
    Drain(at, replica)   it takes no more requests, and finishes those that it has
    Up(at, replica)      it takes requests again; if it had nothing to do, with an empty cache

No request is lost, and none is answered twice: one whose replica died keeps its time of arrival and
goes to another. While nobody takes requests, they wait in front.

Read next: `scenarios.py`, what may come; `outcome.py`, how it went; `otherwise.py`, how it would
have gone.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nanovllm_edu.cluster.prefix_index import PrefixIndex
from nanovllm_edu.cluster.replica import Replica
from nanovllm_edu.cluster.router import Route, Router, route_of, routed
from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, TraceError, listed, shown
from nanovllm_edu.virtual.arrivals import Arrival, in_order
from nanovllm_edu.virtual.serving import Answer

NEVER = float("inf")


@dataclass(frozen=True)
class _Incident:
    """What befalls a replica.

    Attributes:
        at: When, in seconds.
        replica: The number of which one.

    Raises:
        TraceError: It is no time, or no number of a replica.
    """

    at: float
    replica: int = -1  # nobody's: who is forgotten is missed in words of ours

    def __post_init__(self) -> None:
        replica = as_integer(self.replica)
        if not is_number(self.at) or not 0 <= self.at < NEVER or replica is None or replica < 0:
            raise TraceError(
                f"{shown(self)} is of no replica, or at no time; give seconds from 0 on, and the "
                "number of a replica, from 0 on."
            )


class Down(_Incident):
    """A replica dies."""


class Drain(_Incident):
    """A replica takes no more requests."""


class Up(_Incident):
    """A replica begins anew."""


Incident = Down | Drain | Up


class Routed(NamedTuple):
    """An answer, and where it came from.

    Attributes:
        answer: When its tokens came.
        replica: Who gave it.
        num_tries: Replicas that had the request; 1 unless some of them died.
    """

    answer: Answer
    replica: int
    num_tries: int


class Decision(NamedTuple):
    """A request was sent somewhere.

    Attributes:
        at: When.
        tenant: Whose request.
        replica: Where.
    """

    at: float
    tenant: str
    replica: int


class Cluster:
    """Replicas and a router.

    Args:
        engines: On virtual devices; new ones.
        router: An object with `route(prompt, loads, index)`, or such a function.

    Attributes:
        decisions: What was routed where, in order.

    Raises:
        ConfigError: There are no engines, one was used before, or one is there twice; or the router
            is none.
    """

    def __init__(self, engines: Sequence[LLMEngine], router: Router | Route) -> None:
        engines = listed(engines, "engines", ConfigError)
        num_new = len({id(e) for e in engines if isinstance(e, LLMEngine) and e.is_new})
        if not engines or num_new < len(engines):
            raise ConfigError(
                f"{len(engines)} engines, {num_new} different new ones among them; give at least "
                "one, all of them new, each only once."
            )
        self.replicas = [Replica(number, engine) for number, engine in enumerate(engines)]
        route_of(router)  # refuses what is none
        self.router = router
        runner = engines[0].runner
        self.index = PrefixIndex(runner.block_size, len(engines) * runner.num_blocks)
        self.decisions: list[Decision] = []
        self._tries: dict[int, int] = {}  # id of a request that is under way -> replicas it had
        self._held: deque[Arrival] = deque()
        self._has_served = False

    def serve(
        self, arrivals: Iterable[Arrival], incidents: Iterable[Incident] = ()
    ) -> Iterator[Routed]:
        """Serves until nobody is left, and yields answers as they end.

        Args:
            arrivals: In order of time.
            incidents: In order of time.

        Raises:
            ConfigError: It has served already, be it to the end or to an error.
            TraceError: Times go backwards, an incident is of no replica, or requests wait for
                replicas that never come back.
            RoutingError: The router named no replica that takes requests, or raised something.
        """
        if self._has_served:
            raise ConfigError(
                "this cluster has served already, and its clocks and caches are not new; make a "
                "new one, or give all requests at once."
            )
        befalling = deque(self._checked(incidents))
        self._has_served = True
        return self._serve(arrivals, befalling)

    def _serve(self, arrivals: Iterable[Arrival], befalling: deque[Incident]) -> Iterator[Routed]:
        # An object for each request, by which it is told from others: one may be sent twice.
        coming = (arrival._replace() for arrival in in_order(arrivals))
        upcoming = next(coming, None)
        while True:
            busy = min((r for r in self.replicas if r.is_busy), key=lambda r: r.now, default=None)
            next_step = busy.now if busy else NEVER
            next_arrival = upcoming.at if upcoming else NEVER
            next_incident = befalling[0].at if befalling else NEVER
            now = min(next_step, next_arrival, next_incident)
            if now == NEVER:
                break
            if next_incident == now:
                self._befall(befalling.popleft())
            elif upcoming is not None and next_arrival == now:
                self._send(upcoming, now)
                upcoming = next(coming, None)
            elif busy is not None:
                yield from self._step(busy, befalling)
        if self._held:
            raise TraceError(
                f"{len(self._held)} requests wait, and no replica ever takes requests again; add "
                "an Up(at, replica)."
            )

    def _checked(self, incidents: Iterable[Incident]) -> Iterator[Incident]:
        last, count = 0.0, len(self.replicas)
        for incident in listed(incidents, "incidents", TraceError):
            if not isinstance(incident, Incident):
                raise TraceError(f"{shown(incident)} is neither a Down, a Drain nor an Up.")
            if incident.at < last or incident.replica >= count:
                raise TraceError(
                    f"{shown(incident)} comes after {last:g} s in a cluster of {count}; give times "
                    f"that go forward, and replicas from 0 to {count - 1}."
                )
            last = incident.at
            yield incident

    def _send(self, arrival: Arrival, now: float) -> None:
        """Routes a request, or holds it until somebody takes requests."""
        loads = [replica.load for replica in self.replicas if replica.takes_requests]
        if not loads:
            self._held.append(arrival)
            return
        chosen = routed(self.router, arrival.prompt, loads, self.index)
        self.index.add(arrival.prompt, chosen)
        self.decisions.append(Decision(now, arrival.tenant, chosen))
        self._tries[id(arrival)] = self._tries.get(id(arrival), 0) + 1
        self.replicas[chosen].take(arrival, now)

    def _step(self, replica: Replica, befalling: Iterable[Incident]) -> Iterator[Routed]:
        """What a replica answers in its next step, unless it dies before the step is done."""
        death = next(
            (i.at for i in befalling if isinstance(i, Down) and i.replica == replica.number), NEVER
        )
        answers = replica.step()
        if replica.now > death:
            replica.lost += [answer.arrival for answer in answers]
            return
        for answer in answers:
            yield Routed(answer, replica.number, self._tries.pop(id(answer.arrival)))

    def _befall(self, incident: Incident) -> None:
        replica = self.replicas[incident.replica]
        match incident:
            case Down():
                self.index.forget(replica.number)
                for arrival in replica.die():
                    self._send(arrival, incident.at)
            case Drain():
                replica.takes_requests = False
            case Up():
                self.index.forget(replica.number)
                replica.begin_anew(incident.at)
                held, self._held = self._held, deque()
                for arrival in held:
                    self._send(arrival, incident.at)
