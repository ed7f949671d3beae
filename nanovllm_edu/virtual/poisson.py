"""`poisson_times`: when users come who know nothing of each other.

Each comes by a whim of their own, so the gaps between them are exponential: short ones are the most
frequent, and now and then several come at once.

Read next: `arrivals.py`, which gives them requests.
"""

from collections.abc import Iterator
from itertools import accumulate, repeat
from random import Random

from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import TraceError, of_type, shown


def poisson_times(rate: float, random: Random) -> Iterator[float]:
    """Times of a Poisson process, in seconds, without end.

    Args:
        rate: Arrivals a second.
        random: Each time draws from it when it is asked for.

    Raises:
        TraceError: The rate is not a number above 0, or what draws is no `random.Random`.
    """
    if not is_number(rate) or not 0 < rate < float("inf"):
        raise TraceError(f"rate={shown(rate)} is not a number of requests a second above 0.")
    of_type(random, Random, "random", "give a random.Random(seed)", TraceError)
    return accumulate(map(random.expovariate, repeat(rate)))
