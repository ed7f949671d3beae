"""At which rate does the promise break? One run at each of several rates.

The rate is doubled until too few requests are served as promised. Between the last rate that held
and the first that did not, the interval is then halved a few times.

Read next: `load/page.py`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import WorkloadError, shown
from nanovllm_edu.load.report import Report

MOST_RATES = 14
"""From 1 request a second, as many doublings lead to 8,192."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Runs at several rates.

    Attributes:
        reports: By rate, ascending.
        held: The highest rate at which the promise was kept; None: at none.
        broke: The lowest at which it was not; None: it never broke.
    """

    reports: tuple[Report, ...]
    held: float | None
    broke: float | None

    @property
    def verdict(self) -> str:
        """Where it breaks, as a sentence."""
        if self.broke is None:
            return f"The SLO holds up to {self.held:g} requests/s; nothing faster was tried"
        if self.held is None:
            return f"The SLO is broken at {self.broke:g} requests/s already"
        return f"The SLO breaks between {self.held:g} and {self.broke:g} requests/s"


async def sweep(
    measure: Callable[[float], Awaitable[Report]], first: float, share: float, halvings: int = 3
) -> Sweep:
    """Looks for the rate at which fewer than `share` of the requests are served as promised.

    Args:
        measure: Runs at a rate; it waits until the server is idle again.
        first: Where to begin.
        share: Of all requests.
        halvings: How often to narrow the interval down.

    Raises:
        WorkloadError: There is nothing that measures, or a number is none.
    """
    if not callable(measure) or not is_number(first) or not 0 < first < float("inf"):
        raise WorkloadError(
            f"measure={shown(measure)}, first={shown(first)}: give a function of a rate, and a "
            "rate above 0."
        )
    if not is_number(share) or not 0 < share <= 1 or (as_integer(halvings) or 0) < 0:
        raise WorkloadError(
            f"share={shown(share)}, halvings={shown(halvings)}: give a fraction above 0 and at "
            "most 1, and an integer from 0 on."
        )
    seen: dict[float, Report] = {}

    async def holds(rate: float) -> bool:
        seen[rate] = await measure(rate)
        return seen[rate].share_kept >= share

    held, broke, rate = None, None, first
    while broke is None and len(seen) < MOST_RATES:
        held, broke = (rate, None) if await holds(rate) else (held, rate)
        rate *= 2
    for _ in range(halvings if held and broke else 0):
        assert held is not None and broke is not None
        middle = (held + broke) / 2
        held, broke = (middle, broke) if await holds(middle) else (held, middle)
    return Sweep(tuple(seen[rate] for rate in sorted(seen)), held, broke)
