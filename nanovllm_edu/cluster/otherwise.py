"""`Otherwise`: what if this request had gone elsewhere?

    before = Cluster(engines(), router())              # serve, look at before.decisions
    after = Cluster(engines(), Otherwise(router(), {17: 2}))

A virtual run is the same every time it is run. So a fork needs no copy of a world: the second run
goes the same way up to decision 17, takes the other turn there, and everything behind it follows.

Read next: `router.py`.
"""

from collections.abc import Mapping

from nanovllm_edu.cluster.prefix_index import PrefixIndex
from nanovllm_edu.cluster.router import Loads, Route, Router, route_of
from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.errors import ConfigError, shown


class Otherwise:
    """A router that does as another one does, but for some decisions.

    Args:
        router: Asked at every decision, so that it stays in step; a new one.
        changes: Number of a decision, from 0 -> the replica that is chosen instead.

    Raises:
        ConfigError: There is no router, or the changes are no numbers from 0 on.
    """

    def __init__(self, router: Router | Route, changes: Mapping[int, int]) -> None:
        numbers = [*changes, *changes.values()] if isinstance(changes, Mapping) else [None]
        if any((as_integer(number) or 0) < 0 or as_integer(number) is None for number in numbers):
            raise ConfigError(
                f"changes={shown(changes)} is no dictionary from decisions to replicas; give one "
                "such as {17: 2}, numbers from 0 on."
            )
        self._route = route_of(router)
        self._changes, self._count = dict(changes), 0

    def route(self, prompt: list[int], loads: Loads, index: PrefixIndex) -> int:
        """The other's choice, or the changed one."""
        chosen = self._route(prompt, loads, index)
        number, self._count = self._count, self._count + 1
        return self._changes.get(number, chosen)
