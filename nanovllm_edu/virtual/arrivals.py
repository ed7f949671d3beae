"""`Arrival`: a request and when it comes; streams of them, drawn or read.

    poisson(rate=20, count=1000, prompt_tokens=(100, 400), output_tokens=(20, 200), seed=1)
    arrivals_of(recording)      the requests of a recorded run, each as long as it was
    read_trace("trace.jsonl")   {"at": 0.25, "prompt": [1, 2, 3], "max_tokens": 40} a line

All are iterators: 10^5 requests need the memory of those that are being served.

Read next: `poisson.py`, `serving.py`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import TraceError, listed, of_type, shown
from nanovllm_edu.introspect.journal import Added
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.virtual.poisson import poisson_times

VOCABULARY = 1000
"""Prompts are drawn from so many tokens: fewer than any model has."""


class Arrival(NamedTuple):
    """A request.

    Attributes:
        at: When it comes, in seconds.
        prompt: Token ids.
        max_tokens: How many tokens it gets; nothing else ends it.
        tenant: Whose it is, for whoever counts by that.
    """

    at: float
    prompt: list[int]
    max_tokens: int
    tenant: str = ""


def poisson(
    rate: float,
    count: int,
    prompt_tokens: tuple[int, int],
    output_tokens: tuple[int, int],
    seed: int = 0,
    prefix: list[int] | None = None,
) -> Iterator[Arrival]:
    """Requests that come independently of each other.

    Args:
        rate: Of them a second.
        count: How many.
        prompt_tokens: Shortest and longest prompt, beside the prefix.
        output_tokens: Fewest and most tokens of an answer.
        seed: The same one gives the same requests.
        prefix: Tokens that all prompts begin with.

    Raises:
        TraceError: The rate is not above 0, a length is no range of integers from 1 on, the seed is
            no integer, or the prefix no list.
    """
    random = random_of(seed)
    prefix = listed(prefix or [], "prefix", TraceError)
    times = islice(poisson_times(rate, random), checked_count(count))
    prompt_tokens = checked_range("prompt_tokens", prompt_tokens)
    output_tokens = checked_range("output_tokens", output_tokens)

    def request(at: float) -> Arrival:
        prompt = draw_tokens(random, random.randint(*prompt_tokens))
        return Arrival(at, [*prefix, *prompt], random.randint(*output_tokens))

    return map(request, times)


def random_of(seed: Any) -> Random:
    """What draws.

    Raises:
        TraceError: The seed is no integer.
    """
    if as_integer(seed) is None:
        raise TraceError(f"seed={shown(seed)} is not an integer; another one draws other requests.")
    return Random(as_integer(seed))


def checked_count(count: Any, name: str = "count", least: int = 0) -> int:
    """A number of things.

    Raises:
        TraceError: It is no integer, or below the least.
    """
    number = as_integer(count)
    if number is None or number < least:
        raise TraceError(f"{name}={shown(count)} is not an integer from {least} on.")
    return number


def checked_range(name: str, bounds: Any) -> tuple[int, int]:
    """The least and the most of something, such as the tokens of a prompt.

    Raises:
        TraceError: They are not two integers from 1 on, in order.
    """
    numbers = [as_integer(n) or 0 for n in bounds] if isinstance(bounds, (tuple, list)) else []
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise TraceError(f"{name}={shown(bounds)} is not (least, most), two integers from 1 on.")
    return numbers[0], numbers[1]


def draw_tokens(random: Random, length: int, vocab_size: int = VOCABULARY) -> list[int]:
    """Token ids that no other prompt has in this order.

    Raises:
        TraceError: The length is no number of tokens, or what draws is no `random.Random`.
    """
    of_type(random, Random, "random", "give a random.Random(seed)", TraceError)
    length = checked_count(length, "length")
    return random.choices(range(1, vocab_size), k=length)


def arrivals_of(recording: Recording) -> list[Arrival]:
    """The requests of a recording, when they came and with as many tokens as they got.

    Raises:
        TraceError: That is no recording.
    """
    of_type(recording, Recording, "recording", "give what `introspect.load` returns", TraceError)
    lengths: Counter[int] = Counter()
    for record in recording:
        lengths.update({seq_id: len(tokens) for seq_id, tokens in record.new_tokens.items()})
    return [
        Arrival(entry.seconds, list(entry.request.token_ids), lengths[entry.request.seq_id])
        for entry in recording.journal
        if isinstance(entry, Added) and lengths[entry.request.seq_id]
    ]


def read_trace(path: str | Path) -> Iterator[Arrival]:
    """Requests from a file, one JSON object a line, in order of time.

    Raises:
        TraceError: A line is no request, its time is negative or before the last one.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            yield from in_order(_read_line(line, i) for i, line in enumerate(file, 1))
    except (OSError, TypeError, UnicodeDecodeError) as error:
        raise TraceError(
            f"{shown(path)} cannot be read ({error}); give a file of JSON lines."
        ) from error


def in_order(arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
    """The same, as long as time goes forward.

    Raises:
        TraceError: One is no request, or its time is negative, or before the last one.
    """
    last = 0.0
    if not isinstance(arrivals, Iterable):
        raise TraceError(f"arrivals={shown(arrivals)} are not several; give a list of Arrivals.")
    for number, arrival in enumerate(arrivals, 1):
        _check_arrival(arrival, number)
        if arrival.at < last:
            raise TraceError(
                f"request {number} comes at {arrival.at:g} s, and the one before it at {last:g} s; "
                "sort them by time."
            )
        last = arrival.at
        yield arrival


def _check_arrival(arrival: Any, number: int) -> None:
    if not isinstance(arrival, Arrival):
        raise TraceError(f"request {number}, {shown(arrival)}, is no Arrival; make it one.")
    if not (is_number(arrival.at) and 0 <= arrival.at < float("inf")):
        raise TraceError(
            f"request {number} comes at {shown(arrival.at)} s; give seconds from 0 on."
        )
    prompt = arrival.prompt
    if not (isinstance(prompt, list) and prompt and set(map(type, prompt)) == {int}):
        raise TraceError(
            f"request {number} has prompt={shown(prompt)}; give a list of token ids, at least one."
        )
    checked_count(arrival.max_tokens, f"request {number}: max_tokens", 1)


def _read_line(line: str, number: int) -> Arrival:
    try:
        found: dict[str, Any] = json.loads(line)
        arrival = Arrival(
            float(found["at"]),
            list(found["prompt"]),
            int(found["max_tokens"]),
            str(found.get("tenant", "")),
        )
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise TraceError(
            f"line {number} of the trace, {shown(line)}, is no request ({error}); write one as "
            '{"at": 0.25, "prompt": [1, 2, 3], "max_tokens": 40}.'
        ) from error
    return arrival
