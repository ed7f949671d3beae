"""Pages of runs: whole, well-formed, closed to the world, and nobody's markup but ours."""

import asyncio
import re
from xml.etree import ElementTree

import pytest

from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.page import MOST_DOTS, run_page, summary, sweep_page, warnings
from nanovllm_edu.load.plots import Axis, number, plot
from nanovllm_edu.load.report import report
from nanovllm_edu.load.sweep import Sweep, sweep

HOSTILE = "</title><script>alert(1)</script>\"'&"


def answers(count: int = 30, error: str = "") -> list[Answer]:
    return [Answer(i * 0.1, i * 0.1, (i * 0.1 + 0.2, i * 0.1 + 0.25), i * 0.1 + 0.25, 2, 200, error)
            for i in range(count)]  # fmt: skip


def swept(error: str = "") -> Sweep:
    async def measure(rate: float):
        return report(answers(error=error), SLO(1.0 / rate), rate)

    return asyncio.run(sweep(measure, 1.0, 0.9))


def pages(asked: str, error: str = "") -> list[str]:
    some = answers(error=error)
    return [
        run_page(some, report(some, SLO()), SLO(), asked),
        sweep_page(swept(error), SLO(), asked),
    ]


@pytest.mark.parametrize("error", ["", HOSTILE])
def test_nothing_is_loaded_or_run_and_hostile_text_is_text(error: str):
    for page in pages(HOSTILE, error):
        assert "<script" not in page
        assert "default-src 'none'; style-src 'sha256-" in page
        assert not re.search(r"https?:|url\(|@import| on\w+=| style=", page)
        assert "&lt;script&gt;" in page
        assert "prefers-color-scheme: dark" in page


def test_every_drawing_is_well_formed_and_named():
    drawings = re.findall(r"<svg role.*?</svg>", "".join(pages("asked")), re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).get("aria-label")
        places = [float(n) for n in re.findall(r"[M ](-?\d+\.\d) ", drawing)]
        assert all(0 <= place <= 640 for place in places)


def test_a_sentence_says_what_came_of_it():
    some = [*answers(9), Answer(0, 0, (), 1, 0, 503, "503 overloaded")]
    text = summary(report(some, SLO()), SLO())
    assert "9 of 10 requests answered" in text
    assert "1 × 503 overloaded" in text
    assert "90% were served as promised: TTFT ≤ 1 s" in text


def test_a_generator_that_is_late_says_so():
    late = [Answer(0.0, 0.1, (0.5,), 0.5, 1)]
    assert "late by 100 ms" in warnings(report(late, SLO()))[0]
    assert not warnings(report(answers(), SLO()))


def test_many_requests_are_thinned_out():
    some = answers(3 * MOST_DOTS)
    page = run_page(some, report(some, SLO()), SLO(), "")
    assert len(page) < 200_000


def test_axes_have_round_numbers_and_hold_every_value():
    assert Axis("x", 0, 10.4).ticks == [0, 5, 10]
    assert Axis("x", 0.03, 4.0, is_log=True).ticks == [0.1, 1.0]
    assert Axis("x", 0.3, 4.0, is_log=True).ticks == [0.5, 1.0, 2.0]
    assert Axis.over("x", []).share(0) == 0
    same = Axis.over("x", [5.0], is_log=True)
    assert same.share(5.0) == pytest.approx(0.5)
    assert [number(value) for value in (0.01234, 12.3, 12345)] == ["0.0123", "12.3", "12,345"]


def test_a_limit_is_drawn_if_it_is_in_the_picture():
    axis = Axis("y", 0, 1)
    assert "limit" in plot("t", axis, axis, {"a": [(0, 0)]}, limit=0.5)
    assert "limit" not in plot("t", axis, axis, {"a": [(0, 0)]}, limit=5)
