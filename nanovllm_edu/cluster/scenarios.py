"""What comes to a cluster: tenants with long system messages, a hot one among them, restarts.

Read next: `outcome.py`.
"""

from collections.abc import Iterator
from itertools import islice

from nanovllm_edu.cluster.cluster import Drain, Incident, Up
from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import TraceError, shown
from nanovllm_edu.virtual.arrivals import (
    Arrival,
    checked_count,
    checked_range,
    draw_tokens,
    random_of,
)
from nanovllm_edu.virtual.poisson import poisson_times


def tenants(
    rate: float,
    count: int,
    *,
    num_tenants: int = 16,
    hot_share: float = 0.0,
    system_tokens: int = 512,
    question_tokens: tuple[int, int] = (16, 96),
    output_tokens: tuple[int, int] = (16, 96),
    seed: int = 0,
) -> Iterator[Arrival]:
    """Requests of several tenants, each with a system message in front of every question.

    Args:
        rate: Requests a second.
        count: How many.
        num_tenants: They come equally often, but for the hot one.
        hot_share: The fraction of requests that is the first tenant's beside its equal part.
        system_tokens: Length of a system message.
        question_tokens: Shortest and longest question.
        output_tokens: Fewest and most tokens of an answer.
        seed: The same one gives the same requests.

    Raises:
        TraceError: The rate is not above 0, the share not in [0, 1], a number not one of things, or
            a length no range of integers from 1 on.
    """
    if not is_number(hot_share) or not 0 <= hot_share <= 1:
        raise TraceError(f"hot_share={shown(hot_share)} is not a fraction in [0, 1].")
    random = random_of(seed)
    num_tenants = checked_count(num_tenants, "num_tenants", 1)
    system_tokens = checked_count(system_tokens, "system_tokens")
    systems = [draw_tokens(random, system_tokens) for _ in range(num_tenants)]
    times = islice(poisson_times(rate, random), checked_count(count))
    question_tokens = checked_range("question_tokens", question_tokens)
    output_tokens = checked_range("output_tokens", output_tokens)

    def request(at: float) -> Arrival:
        tenant = 0 if random.random() < hot_share else random.randrange(num_tenants)
        prompt = systems[tenant] + draw_tokens(random, random.randint(*question_tokens))
        return Arrival(at, prompt, random.randint(*output_tokens), f"tenant {tenant}")

    return map(request, times)


def rolling_restart(num_replicas: int, begin: float, seconds: float) -> Iterator[Incident]:
    """One after the other is drained, restarted and taken in again.

    Args:
        num_replicas: All of these.
        begin: When the first one takes no more requests.
        seconds: From there until it takes requests again, when the next one is drained.

    Raises:
        TraceError: A number is none, or below 0.
    """
    for name, value in (("begin", begin), ("seconds", seconds)):
        if not is_number(value) or not 0 <= value < float("inf"):
            raise TraceError(f"{name}={shown(value)} is not a number of seconds from 0 on.")
    return _restarts(checked_count(num_replicas, "num_replicas"), begin, seconds)


def _restarts(num_replicas: int, begin: float, seconds: float) -> Iterator[Incident]:
    for replica in range(num_replicas):
        at = begin + replica * seconds
        yield Drain(at, replica)
        yield Up(at + seconds, replica)
