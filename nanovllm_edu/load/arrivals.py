"""When users come: the arrivals of an open loop.

    steady(rate, ...)      one after the other at equal distances
    poisson(rate, ...)     as if each came by a whim of their own: short gaps are the most frequent
    bursts(rate, size)     several at once
    read_trace(path)       as they once came, from a file

Whoever comes does not ask whether the server is ready. That is the whole point: an arrival never
depends on an answer.

Read next: `load/answer.py`, what became of one.
"""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import WorkloadError, shown
from nanovllm_edu.virtual.poisson import poisson_times

MOST_JOBS = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """One request to come.

    Attributes:
        at: When, in seconds from the start.
        prompt_words: So long is its prompt.
        max_tokens: So long is its answer at most.
        prompt: Its text, if it is to be a certain one.
    """

    at: float
    prompt_words: int = 32
    max_tokens: int = 64
    prompt: str | None = None


def steady(rate: float, count: int) -> list[float]:
    """Times of `count` arrivals, `rate` of them a second, at equal distances."""
    _check(rate, count)
    return [index / rate for index in range(count)]


def poisson(rate: float, count: int, seed: int = 0) -> list[float]:
    """A Poisson process: gaps between arrivals are exponential, with a mean of 1 / `rate`."""
    _check(rate, count)
    if as_integer(seed) is None:
        raise WorkloadError(f"seed={shown(seed)} is not an integer.")
    return [0.0, *islice(poisson_times(rate, Random(seed)), count - 1)]


def bursts(rate: float, count: int, size: int, seed: int = 0) -> list[float]:
    """Groups of `size` that come together; the groups are a Poisson process of `rate` / `size`."""
    if (as_integer(size) or 0) < 1:
        raise WorkloadError(f"burst={shown(size)} is not an integer from 1 on.")
    _check(rate, count)
    begins = poisson(rate / size, -(-count // size), seed)
    return [at for at in begins for _ in range(size)][:count]


def _check(rate: float, count: int) -> None:
    if not is_number(rate) or not 0 < rate < float("inf"):
        raise WorkloadError(f"rate={shown(rate)} is not a number of requests a second above 0.")
    if not 1 <= (as_integer(count) or 0) <= MOST_JOBS:
        raise WorkloadError(
            f"{shown(count)} requests are not between 1 and {MOST_JOBS}; choose another."
        )


def read_trace(path: str | Path, default: Job) -> list[Job]:
    """Arrivals from a file: a JSON object a line, such as `{"at": 0.25, "max_tokens": 100}`.

    Args:
        path: The file. Times are seconds from its first line's, ascending.
        default: For what a line does not say.

    Raises:
        WorkloadError: It cannot be read, or a line is not an arrival; it says which, and why.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, TypeError, ValueError) as error:
        raise WorkloadError(f"the trace {shown(path)} cannot be read: {error}") from error
    jobs: list[Job] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            job = _job_of(line, default, f"line {number} of {path}")
            if jobs and job.at < jobs[-1].at:
                raise WorkloadError(
                    f"line {number} of {path}: at={job.at} comes before the line above it, "
                    f"at={jobs[-1].at}; sort the lines by time."
                )
            jobs.append(job)
    if not jobs:
        raise WorkloadError(f"the trace {str(path)!r} is empty; it needs one arrival a line.")
    return jobs


FIELDS: dict[str, tuple[type, ...]] = {
    "at": (int, float),
    "prompt_words": (int,),
    "max_tokens": (int,),
    "prompt": (str,),
}


def _job_of(line: str, default: Job, place: str) -> Job:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"{place} is no JSON: {error}") from error
    if not isinstance(data, dict) or "at" not in data:
        raise WorkloadError(f'{place} holds {shown(data)}; write an object such as {{"at": 0.5}}.')
    for name, value in data.items():
        if name not in FIELDS:
            raise WorkloadError(f"{place}: unknown field {name!r}; known: {', '.join(FIELDS)}.")
        if not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            raise WorkloadError(f"{place}: {name}={shown(value)} is of the wrong type.")
    if not 0 <= data["at"] < float("inf"):
        raise WorkloadError(f"{place}: at={data['at']} is no time; give seconds from 0 on.")
    job = Job(
        float(data["at"]),
        data.get("prompt_words", default.prompt_words),
        data.get("max_tokens", default.max_tokens),
        data.get("prompt", default.prompt),
    )
    if job.prompt_words < 1 or job.max_tokens < 1:
        raise WorkloadError(f"{place}: prompt_words and max_tokens are at least 1.")
    return job
