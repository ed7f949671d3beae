"""Routers: which replica gets a request.

    RoundRobin       the next one: blind, and fair in counts
    LeastTokens      the one with the least left to compute
    PrefixAffinity   the one that has most of the prompt cached, unless it is too busy

A router is asked `route(prompt, loads, index)` and answers with the number of a replica. Your own
is an object with such a method, or just a function. What it answers is checked.

The bound of `PrefixAffinity` is that of consistent hashing with bounded loads (Mirrokni, Thorup and
Zadimoghaddam, 2018): nobody gets more than so many times the mean.

Read next: `prefix_index.py`, what `index` is; `cluster.py`, who asks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, cast

from nanovllm_edu.cluster.prefix_index import PrefixIndex
from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import ConfigError, RoutingError, shown


class Load(NamedTuple):
    """How busy a replica is that takes requests.

    Attributes:
        replica: Its number.
        num_requests: That wait or run.
        num_tokens: That these have still to compute, prompts and answers.
    """

    replica: int
    num_requests: int
    num_tokens: int


Loads = Sequence[Load]


class Router(Protocol):
    """Chooses."""

    def route(self, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
        """The number of one of the replicas in `loads`."""
        ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._last = -1

    def route(self, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
        """The next one that is there."""
        later = [load.replica for load in loads if load.replica > self._last]
        self._last = min(later) if later else min(load.replica for load in loads)
        return self._last


class LeastTokens:
    """Where the work left is least; among equals the first."""

    def route(self, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
        """By tokens, since a request of 2,000 tokens is no request of 20."""
        return min(loads, key=lambda load: (load.num_tokens, load.replica)).replica


class PrefixAffinity:
    """To where the prompt is known, within limits.

    Args:
        bound: A replica with more than so many times the mean load gets nothing more. 1 balances
            strictly, a large number follows the cache wherever it leads.
        spare: Nor does the bound count before a replica has so many tokens to compute: it is no use
            to balance what nobody waits for.

    Raises:
        ConfigError: `bound` is below 1, or `spare` is no number from 0 on.
    """

    def __init__(self, bound: float = 1.5, spare: int = 2048) -> None:
        if not is_number(bound) or not bound >= 1:
            raise ConfigError(
                f"bound={shown(bound)} is below 1: somebody always has the mean or more. Give at "
                "least 1."
            )
        if not is_number(spare) or not spare >= 0:
            raise ConfigError(f"spare={shown(spare)} is not a number of tokens from 0 on.")
        self.bound, self.spare = bound, spare

    def route(self, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
        """The longest match among those that are not too busy; then the least busy."""
        cached = index.lengths(prompt)
        mean = sum(load.num_tokens for load in loads) / len(loads)
        limit = max(self.bound * mean, self.spare)
        fitting = [load for load in loads if load.num_tokens <= limit]  # who has least always is

        def rank(load: Load) -> tuple[int, int, int]:
            return -cached.get(load.replica, 0), load.num_tokens, load.replica

        return min(fitting, key=rank).replica


Route = Callable[[list[int], Loads, PrefixIndex], int]


def route_of(router: Router | Route) -> Route:
    """The function, whoever has it.

    Raises:
        ConfigError: Nobody has one.
    """
    route = getattr(router, "route", router)
    if isinstance(router, type) or not callable(route):
        raise ConfigError(
            f"router={shown(router)} is neither an object with route(prompt, loads, index) nor "
            "such a function; pass one, such as LeastTokens()."
        )
    return cast(Route, route)


def routed(router: Router | Route, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
    """Asks a router and checks its answer.

    Raises:
        RoutingError: It named no replica that takes requests, or raised something.
        ConfigError: It is no router.
    """
    route, there = route_of(router), [load.replica for load in loads]
    name = getattr(router, "__name__", type(router).__name__)
    remedy = f"the replicas that take requests are {there}; return one of these numbers."
    try:
        chosen = route(prompt, loads, index)
    except Exception as error:  # whatever a learner's may raise
        raise RoutingError(
            f"the router {name} raised {type(error).__name__}: {error!s:.200}; {remedy}"
        ) from error
    number = as_integer(chosen)
    if number not in there:
        raise RoutingError(f"the router {name} named {shown(chosen)}, and {remedy}")
    return number
