"""How many replicas does this traffic need, and what do they cost?

    curve = capacity(make, arrivals, SLO(first_token=0.5), price_per_hour=2.5)
    curve.enough()        the first point at which the promise is kept

Every point is a whole run: queues, caches and the router are in it, which no formula of the mean
has.

Read next: `router.py`; `virtual/calibration.py`, on which all of it rests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from nanovllm_edu.cluster.cluster import Cluster
from nanovllm_edu.cluster.outcome import Outcome
from nanovllm_edu.core import html
from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import ConfigError, listed, shown
from nanovllm_edu.load.answer import SLO
from nanovllm_edu.virtual.arrivals import Arrival

HEADER = ("replicas", "p99 TTFT", "ms a token", "within the SLO", "cached", "per million tokens")


class Point(NamedTuple):
    """A number of replicas, and how they did.

    Attributes:
        num_replicas: How many.
        outcome: Of the run.
        price: Of a million generated tokens.
    """

    num_replicas: int
    outcome: Outcome
    price: float

    @property
    def is_enough(self) -> bool:
        """Whether the promise is kept."""
        return self.outcome.share_met >= self.outcome.slo.share

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, for a table."""
        summary = self.outcome.summary
        return (
            str(self.num_replicas),
            f"{1e3 * summary.ttft(0.99):,.0f} ms",
            f"{1e3 * summary.mean_tpot:.1f}",
            f"{self.outcome.share_met:.1%}" + (" ✓" if self.is_enough else ""),
            f"{self.outcome.hit_rate:.0%}",
            f"{self.price:.2f}",
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """Points, fewest replicas first."""

    points: tuple[Point, ...]

    def enough(self) -> Point | None:
        """The cheapest one that keeps the promise; None if none does."""
        return next((point for point in self.points if point.is_enough), None)

    def __repr__(self) -> str:
        rows = [HEADER, *(point.cells for point in self.points)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)

    def _repr_html_(self) -> str:
        return html.table("Capacity", HEADER, [point.cells for point in self.points])


def capacity(
    make: Callable[[int], Cluster],
    arrivals: Callable[[], Iterable[Arrival]],
    slo: SLO,
    *,
    price_per_hour: float = 1.0,
    counts: Iterable[int] = range(1, 9),
) -> Curve:
    """Serves the same traffic with more and more replicas.

    Args:
        make: A new cluster of so many replicas.
        arrivals: The traffic, anew each time.
        slo: What is promised.
        price_per_hour: Of a replica.
        counts: Numbers of replicas to try, ascending.

    Raises:
        ConfigError: The price is no number from 0 on, a number of replicas is below 1, or something
            is of another type.
    """
    if not callable(make) or not callable(arrivals) or not isinstance(slo, SLO):
        raise ConfigError(
            f"make={shown(make)}, arrivals={shown(arrivals)}, slo={shown(slo)}: give a function of "
            "a number of replicas, a function of nothing, and an SLO."
        )
    counts = listed(counts, "counts", ConfigError)
    has_price = is_number(price_per_hour) and 0 <= price_per_hour < float("inf")
    if not has_price or not counts or min(as_integer(count) or 0 for count in counts) < 1:
        raise ConfigError(
            f"price_per_hour={shown(price_per_hour)}, counts={shown(counts)}: give a price from 0 "
            "on and numbers from 1 on."
        )
    points: list[Point] = []
    for count in counts:
        outcome = Outcome.of(make(count).serve(arrivals()), slo)
        hours = (outcome.summary.end - outcome.summary.begin) / 3600
        price = count * hours * price_per_hour / max(1, outcome.summary.num_tokens) * 1e6
        points.append(Point(count, outcome, price))
    return Curve(tuple(points))
