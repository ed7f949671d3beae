"""What comes to a cluster: tenants with long system messages, a hot one among them, restarts.

Read next: `outcome.py`.
"""

from collections.abc import Iterator
from random import Random

from nanovllm_edu.cluster.cluster import Drain, Incident, Up
from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens


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
    """
    random, now = Random(seed), 0.0
    systems = [draw_tokens(random, system_tokens) for _ in range(num_tenants)]
    for _ in range(count):
        now += random.expovariate(rate)
        tenant = 0 if random.random() < hot_share else random.randrange(num_tenants)
        question = draw_tokens(random, random.randint(*question_tokens))
        yield Arrival(
            now, systems[tenant] + question, random.randint(*output_tokens), f"tenant {tenant}"
        )


def rolling_restart(num_replicas: int, begin: float, seconds: float) -> Iterator[Incident]:
    """One after the other is drained, restarted and taken in again.

    Args:
        num_replicas: All of these.
        begin: When the first one takes no more requests.
        seconds: From there until it takes requests again, when the next one is drained.
    """
    for replica in range(num_replicas):
        at = begin + replica * seconds
        yield Drain(at, replica)
        yield Up(at + seconds, replica)
