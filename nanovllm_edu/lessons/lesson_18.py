"""Exercises of lesson 18, many replicas: how many it takes, and a router of one's own."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache, wraps
from math import ceil
from random import Random
from typing import Any

from nanovllm_edu.cluster import Cluster, LeastTokens, Outcome, PrefixAffinity, replicas
from nanovllm_edu.cluster.router import Route, Router
from nanovllm_edu.cluster.scenarios import tenants
from nanovllm_edu.core.events import counted
from nanovllm_edu.errors import RoutingError
from nanovllm_edu.lessons.checks import require, whole_number
from nanovllm_edu.lessons.exercise import Exercise, Wrong
from nanovllm_edu.virtual.calibration import Calibration, Seconds

DEVICE = Seconds(4e-3, 5e-4, 1e-7, 1e-3, 0.0, 6e-5, 5e-9)
"""A device of the size of a small GPU: prompts cost enough to be worth finding in a cache."""


def cluster(router: Router | Route, count: int = 4) -> Cluster:
    """Replicas of that device, with room for some of the tenants' system messages each."""
    calibration = Calibration(
        device=DEVICE, host=Seconds(), model="a model", device_name="a small GPU", date="",
        versions={}, source="made up for lesson 18", num_steps=0, step_error=0.0, total_error=0.0,
    )  # fmt: skip
    return Cluster(replicas(calibration, count, num_blocks=400, max_num_seqs=16), router)


def serve_tenants(
    router: Router | Route, *, hot_share: float = 0.0, seed: int = 0, count: int = 4
) -> Outcome:
    """160 requests of 16 tenants with long system messages, 40 a second."""
    arrivals = tenants(40, 160, hot_share=hot_share, seed=seed, output_tokens=(16, 64))
    return Outcome.of(cluster(router, count).serve(arrivals))


# ------------------------------------------------------------------ 18.1 how many replicas

ReplicasNeeded = Callable[[float, float, int, float], Any]
NEEDS = (
    (10.0, 2.0, 16, 0.5),
    (8.0, 2.0, 16, 1.0),
    (8.0, 2.0, 16, 0.5),
    (100.0, 4.0, 32, 0.75),
    (0.25, 1.0, 8, 0.75),
)
"""(requests a second, seconds each, rows of a replica, how much of them may be taken)."""


def _needed(rate: float, seconds: float, rows: int, share: float) -> int:
    return ceil(Fraction(rate) * Fraction(seconds) / (rows * Fraction(share)))


def _check_replicas_needed(replicas_needed: ReplicasNeeded, random: Random) -> str:
    fresh = [
        (float(random.randint(1, 200)), random.choice((0.5, 1.5, 2.5)), 2 ** random.randint(3, 6),
         random.choice((0.5, 0.75, 1.0)))
        for _ in range(4)
    ]  # fmt: skip
    for rate, seconds, rows, share in (*NEEDS, *fresh):
        call = f"replicas_needed({rate}, {seconds}, {rows}, {share})"
        got = whole_number(replicas_needed(rate, seconds, rows, share), call)
        running, want = rate * seconds, _needed(rate, seconds, rows, share)
        require(got > 0, f"{call}: somebody must answer, and you start {counted(got, 'replica')}.")
        require(
            got >= want,
            f"{call}: on average {running:g} requests run at the same time, and "
            f"{counted(got, 'replica')} may take {got * rows * share:g} of them.",
        )
        require(
            got == want,
            f"{call}: {running:g} requests run at the same time. For them {want} will do; {got} "
            "cost more.",
        )
    return f"{len(NEEDS) + len(fresh)} clusters, none too small and none too large."


REPLICAS_NEEDED = Exercise(
    "18.1",
    "How many replicas?",
    "replicas_needed",
    "easy",
    (
        "If 10 requests come every second and each takes 2 seconds, how many are there at any "
        "moment?",
        "That is Little's law: rate * seconds. A replica takes max_num_seqs * busy of them. Round "
        "up.",
        "math.ceil(rate * seconds_per_request / (max_num_seqs * busy))",
    ),
    _check_replicas_needed,
)

# ------------------------------------------------------------------------- 18.2 a router

HOT_SHARE = 0.7
FAIREST = 0.5
"""Of all answers, at most, from the busiest of four replicas, while one tenant is hot."""


def _served(route: Any, **options: Any) -> Outcome:
    try:
        return serve_tenants(route, **options)
    except RoutingError as error:
        raise error.__cause__ or Wrong(f"{error}") from None  # its own mistake, with its line


@cache
def _hit_rates() -> tuple[float, float]:
    """Of a router that balances, and of one that follows the caches."""
    return serve_tenants(LeastTokens()).hit_rate, serve_tenants(PrefixAffinity()).hit_rate


def _check_route(route: Route, random: Random) -> str:
    @wraps(route)
    def asked(prompt: list[int], loads: Any, index: Any) -> Any:
        return whole_number(route(prompt, loads, index), "The replica that route() names")

    (balanced, cached), mine = _hit_rates(), _served(asked)
    halfway = (balanced + cached) / 2
    require(
        mine.hit_rate >= halfway,
        f"Your replicas find {mine.hit_rate:.0%} of the prompts' tokens in their caches; with "
        f"LeastTokens it is {balanced:.0%}, and {halfway:.0%} are asked for. "
        "index.lengths(prompt) tells who has how much.",
    )
    hot = _served(asked, hot_share=HOT_SHARE)
    busiest, most = hot.num_of_replica.most_common(1)[0]
    share = most / hot.summary.num_answers
    require(
        share <= FAIREST,
        f"With a hot tenant, replica {busiest} gives {share:.0%} of all answers, and the p99 of "
        f"the time to first token is {1e3 * hot.summary.ttft(0.99):,.0f} ms: a request must not "
        "follow the cache to a replica that is far busier than the others.",
    )
    return (
        f"{mine.hit_rate:.0%} of the prompts' tokens found (LeastTokens {balanced:.0%}, "
        f"PrefixAffinity {cached:.0%}), and with a hot tenant nobody gives more than "
        f"{share:.0%} of the answers."
    )


ROUTE = Exercise(
    "18.2",
    "A router of your own",
    "route",
    "medium",
    (
        "Two wishes: go where the prompt is cached, and do not go where everybody goes. Which of "
        "the two must be able to say no?",
        "First keep the replicas whose num_tokens is not far above the mean of all. Among these "
        "take the one with the largest index.lengths(prompt).get(replica, 0).",
        "mean = sum(l.num_tokens for l in loads) / len(loads); free = [l for l in loads if "
        "l.num_tokens <= max(1.25 * mean, 500)]; return max(free, key=lambda l: "
        "(index.lengths(prompt).get(l.replica, 0), -l.num_tokens)).replica",
    ),
    _check_route,
    shipped=(PrefixAffinity.route, LeastTokens.route),
)

EXERCISES = (REPLICAS_NEEDED, ROUTE)
