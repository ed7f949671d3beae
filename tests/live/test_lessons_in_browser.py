"""Lessons that are run in their pages, in a real Chromium that may reach this machine only."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_site_in_browser import serious_faults

pytestmark = pytest.mark.browser

LESSONS = ("06", "08", "12", "13", "17", "18")
SOLUTIONS = Path(__file__).parents[1] / "lessons" / "solutions"
POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
TAINTED = """
class Tainted:
    def _repr_html_(self):
        change = "document.title='changed'"
        return f"<img src=x onerror={change}><script>{change}</script><b>shown</b>"

Tainted()
"""


@pytest.fixture
def open_lesson(chromium: Any, address: str) -> Iterator[Callable]:
    """Opens lessons; afterwards nothing had been asked for elsewhere, and there was no error."""
    problems, contexts = [], []

    def check(request: Any) -> None:
        if not request.url.startswith((f"{address}/", "data:")):
            problems.append(request.url)

    def go(number: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", check)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/lesson_{number}.html")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not problems


def cell(page: Any, index: int) -> Any:
    return page.locator(f".cell[data-cell='{index}']")


def run(page: Any, index: int) -> str:
    """Runs a cell as a reader does; returns what it shows."""
    cell(page, index).locator("button.run").click()
    page.locator("#stop[disabled]").wait_for(timeout=120_000)
    return cell(page, index).locator(".outputs").inner_text()


@pytest.mark.parametrize("number", LESSONS)
def test_the_last_cell_runs_those_above_it_first(open_lesson: Callable, number: str):
    page = open_lesson(number)
    leaned_on = page.locator(".cell:not([data-aside])")
    run(page, int(leaned_on.last.get_attribute("data-cell")))
    assert page.locator(".outputs .error").count() == 0
    assert page.locator(".outputs:not(:empty)").count() >= 9
    asides = page.locator(".cell[data-aside] .outputs")
    assert not any(asides.all_inner_texts()), "answers and hints are for whoever asks"
    for picture in page.locator(".outputs svg[role=img]").all()[:3]:
        assert picture.get_attribute("aria-label")


@pytest.mark.parametrize("number", LESSONS)
def test_a_page_is_as_wide_as_a_phone(open_lesson: Callable, number: str):
    page = open_lesson(number, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_from_disk_says_what_it_needs(chromium: Any, folder: Path):
    page = chromium.new_page()
    page.goto((folder / "lesson_06.html").as_uri())
    page.wait_for_timeout(300)
    assert "python -m http.server" in page.locator("#status").inner_text()
    page.close()


def test_a_bet_is_clicked_and_settled_and_a_view_steps(open_lesson: Callable):
    page = open_lesson("06")
    run(page, 7)
    cell(page, 7).get_by_label("20").check()
    assert "You predicted 20" in run(page, 9)
    run(page, 20)
    view = cell(page, 20)
    before = view.locator(".nv-step").inner_text()
    view.locator("[data-action=next]").click()
    assert view.locator(".nv-step").inner_text() != before


def test_the_buttons_of_a_view_stay_in_sight_below_the_header(open_lesson: Callable):
    page = open_lesson("06", viewport={"width": 1400, "height": 500})
    run(page, 20)
    view = cell(page, 20).locator(".nv")
    view.evaluate("view => scrollTo(0, view.getBoundingClientRect().top + scrollY + 150)")
    header, bar = (
        page.locator("body > header").bounding_box(),
        view.locator(".nv-bar").bounding_box(),
    )
    assert header["y"] + header["height"] <= bar["y"] < 60


def test_an_answer_is_written_with_the_keyboard_and_checked(open_lesson: Callable):
    page = open_lesson("06")
    assert "✗" in run(page, 16) and "rows worked while" in run(page, 16)
    assert "Hint 1 of 3" in run(page, 17)
    editor = cell(page, 15).locator("textarea")
    editor.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("class MyPolicy:\n", delay=1)
    page.keyboard.type("def order(self, running, waiting):\nreturn [[*running, *waiting]]\n")
    for _ in range(4):
        page.keyboard.press("Backspace")
    page.keyboard.type("def victim(self, candidates):\nreturn candidates[-1]")
    assert "\n        return candidates" in editor.input_value(), "lines are indented by themselves"
    page.keyboard.press("Control+Enter")
    page.locator("#stop[disabled]").wait_for()
    assert "✓" in run(page, 16)
    page.reload()
    assert "*waiting" in editor.input_value(), "it is kept"
    cell(page, 15).locator("button.reset").click()
    assert "static batching" in editor.input_value()


def test_progress_is_that_of_the_lessons_that_are_there(open_lesson: Callable):
    page = open_lesson("06")
    cell(page, 1).locator("textarea").fill("from nanovllm_edu.lessons import progress\nprogress()")
    shown = run(page, 1)
    assert "0 of 19 exercises solved" in shown and "13.8" in shown


def test_what_never_ends_is_ended_and_the_lesson_goes_on(open_lesson: Callable):
    page = open_lesson("06")
    editor = cell(page, 8).locator("textarea")
    written = editor.input_value()
    editor.fill("while True: pass")
    cell(page, 8).locator("button.run").click()
    page.locator(".busy[data-cell='8']").wait_for()
    page.locator("#stop").click()
    assert "stopped" in cell(page, 8).locator(".error").inner_text(timeout=60_000)
    editor.fill(written)
    assert "Continuous batching: 16 steps" in run(page, 10), "Python began anew, with all cells"


def test_after_a_minute_the_page_ends_it_by_itself(open_lesson: Callable):
    page = open_lesson("06")
    page.locator("#status", has_text="ready").wait_for(timeout=60_000)
    page.clock.install()
    cell(page, 1).locator("textarea").fill("while True: pass")
    cell(page, 1).locator("button.run").click()
    page.locator(".busy").wait_for()
    page.clock.fast_forward(61_000)
    assert "longer than 60 seconds" in cell(page, 1).locator(".error").inner_text()


def test_no_script_of_a_value_runs(open_lesson: Callable):
    page = open_lesson("08")
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith(POLICY) and not re.search(r"https?:|\*|'unsafe-eval'", policy)
    cell(page, 1).locator("textarea").fill(TAINTED)
    title = page.title()
    assert "shown" in run(page, 1)
    page.wait_for_timeout(200)
    assert page.title() == title


def test_a_long_name_is_broken_on_a_phone(open_lesson: Callable):
    page = open_lesson("13", viewport={"width": 390, "height": 844})
    name = "FullyCachedPromptNotRecomputed.num_matchable_blocks"
    imports = "from nanovllm_edu.lessons import bugs, show_source"
    cell(page, 1).locator("textarea").fill(f"{imports}\nshow_source(bugs.{name})")
    assert name in run(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_on_a_phone(open_lesson: Callable, scheme: str):
    phone = {"width": 390, "height": 844}
    page = open_lesson("08", viewport=phone, color_scheme=scheme, bypass_csp=True)
    run(page, 22)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious_faults(page) == []


def test_the_sites_switch_decides_between_light_and_dark(open_lesson: Callable):
    page = open_lesson("06", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    chosen = '{"index": 1, "color": {"scheme": "slate"}}'  # as the switch keeps it
    page.evaluate("chosen => localStorage.setItem('/.__palette', chosen)", chosen)
    page.reload()
    assert page.evaluate(paper) == "rgb(20, 24, 30)"
    page.evaluate("localStorage.setItem('/.__palette', '?')")  # not ours to repair
    page.reload()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
