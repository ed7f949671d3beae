"""The rate at which a promise breaks is found, whatever it is."""

import asyncio

import pytest

from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.report import Report, report
from nanovllm_edu.load.sweep import MOST_RATES, sweep


def server(capacity: float, asked: list[float]):
    """A pretended one: every request is fast below its capacity, and none above."""

    async def measure(rate: float) -> Report:
        asked.append(rate)
        first = 0.1 if rate <= capacity else 9.0
        return report([Answer(0.0, 0.0, (first,), first, 1)] * 10, SLO(), rate)

    return measure


@pytest.mark.parametrize("capacity", [1.0, 3.3, 11.0, 100.0])
def test_the_breaking_rate_is_bracketed(capacity: float):
    asked: list[float] = []
    found = asyncio.run(sweep(server(capacity, asked), 1.0, 0.9, halvings=4))
    assert found.held is not None and found.broke is not None
    assert found.held <= capacity < found.broke
    assert found.broke - found.held <= found.held / 16
    assert [one.rate for one in found.reports] == sorted(asked)
    assert f"between {found.held:g} and {found.broke:g}" in found.verdict


def test_one_that_breaks_at_once_and_one_that_never_does():
    found = asyncio.run(sweep(server(0.5, []), 1.0, 0.9))
    assert (found.held, found.broke, len(found.reports)) == (None, 1.0, 1)
    assert "broken at 1 requests/s already" in found.verdict
    found = asyncio.run(sweep(server(1e9, []), 1.0, 0.9))
    assert (found.broke, len(found.reports)) == (None, MOST_RATES)
    assert "nothing faster was tried" in found.verdict
