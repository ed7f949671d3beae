"""Something of another type is refused in words, not by whatever stumbles over it."""

import asyncio
from collections.abc import Callable

import pytest

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.arrivals import Job, poisson
from nanovllm_edu.load.client import Target, get
from nanovllm_edu.load.loops import closed_loop, open_loop
from nanovllm_edu.load.page import run_page, sweep_page
from nanovllm_edu.load.report import Latency, Report, report
from nanovllm_edu.load.sweep import Sweep, sweep

TARGET = Target("http://127.0.0.1:9/v1")
ANSWER = Answer(0.0, 0.0, (0.1, 0.2), 0.3, 2)
REPORT = report([ANSWER], SLO(), 1.0)


async def measure(rate: float) -> Report:
    return REPORT


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda x: asyncio.run(open_loop(x, [Job(0.0)])), "target=5 is not of type Target"),
        (lambda x: asyncio.run(open_loop(TARGET, x)), "jobs=5 is no list"),
        (lambda x: asyncio.run(open_loop(TARGET, [x])), "job=5 is not of type Job"),
        (lambda x: asyncio.run(closed_loop(TARGET, [Job(0.0)], -x)), "users=-5 is not an integer"),
        (lambda x: asyncio.run(get(x, "/v1/models")), "target=5 is not of type Target"),
        (lambda x: report(x, SLO()), "answers=5 is no list"),
        (lambda x: report([x], SLO()), "answer=5 is not of type Answer"),
        (lambda x: report([ANSWER], x), "slo=5 is not of type SLO"),
        (lambda x: Latency.of([str(x)]), "values=.*are not all numbers"),
        (lambda x: asyncio.run(sweep(x, 1.0, 0.9)), "measure=5, first=1.0: give a function"),
        (lambda x: asyncio.run(sweep(measure, -x, 0.9)), "first=-5: give a function"),
        (lambda x: asyncio.run(sweep(measure, 1.0, x)), "share=5, halvings=3: give a fraction"),
        (lambda x: run_page([x], REPORT, SLO(), ""), "answer=5 is not of type Answer"),
        (lambda x: run_page([ANSWER], x, SLO(), ""), "report=5 is not of type Report"),
        (lambda x: sweep_page(x, SLO(), ""), "found=5 is not of type Sweep"),
        (lambda x: sweep_page(Sweep((REPORT,), 1.0, None), SLO(), x), "asked=5 is not of type str"),
        (lambda x: Target("http://a", model=x), "model=5 is not of type str"),
        (lambda x: Target("http://a", timeout=-x), "timeout=-5 is not a number of s above 0"),
        (lambda x: poisson(1.0, 2, [x]), r"seed=\[5\] is not an integer"),
    ],
)
def test_what_is_of_another_type_is_named_with_a_remedy(
    give: Callable[[int], object], message: str
):
    with pytest.raises(WorkloadError, match=message):
        give(5)
