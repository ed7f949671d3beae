"""A learner in JupyterLab: runs lesson 00, predicts, errs, asks for hints, solves the exercise."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener

pytestmark = pytest.mark.browser

ONE_STEP_ONLY = """\
def run_to_end(engine):
    tokens = {}
    for seq_id, new in engine.step().new_tokens.items():
        tokens.setdefault(seq_id, []).extend(new)
    return tokens"""
ALL_STEPS = """\
def run_to_end(engine):
    tokens = {}
    while engine.has_unfinished_requests():
        for seq_id, new in engine.step().new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens"""


class Lesson:
    """A notebook in the browser."""

    def __init__(self, page) -> None:
        self.page = page

    def cell(self, beginning: str):
        """The code cell whose source begins so."""
        source = self.page.locator(".cm-content", has_text=re.compile(rf"^{re.escape(beginning)}"))
        return self.page.locator(".jp-CodeCell").filter(has=source)

    def run(self, beginning: str) -> str:
        """Runs a cell again, and returns what it shows."""
        cell = self.cell(beginning)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        for _ in range(20):  # the editor takes keys only some time after it is there
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            self.page.wait_for_timeout(500)
            if prompt.inner_text() != before:
                break
        expect(prompt).to_have_text(re.compile(r"^\[\d+\]:$"), timeout=60_000)
        return cell.locator(".jp-OutputArea").inner_text()

    def run_folded(self, beginning: str) -> str:
        """Runs the folded cell behind another one, with the keyboard: a click would unfold it."""
        cell = self.page.locator(".jp-CodeCell:has(.jp-Placeholder)").first
        self.cell(beginning).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_timeout(1000)
        self.page.keyboard.press("Control+Enter")
        expect(cell.locator(".jp-OutputArea-output")).not_to_have_count(0, timeout=60_000)
        return cell.locator(".jp-OutputArea").inner_text()

    def write(self, beginning: str, source: str) -> None:
        """Replaces the source of a cell, and runs it."""
        self.cell(beginning).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        self.run(beginning)


@pytest.fixture(scope="module")
def lesson(chromium, jupyterlab):
    opener = Opener(chromium)
    window = {"width": 1300, "height": 1200}
    page = opener(f"{jupyterlab}/lab/workspaces/lesson/tree/00_start_here.ipynb", viewport=window)
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    dialog = page.locator(".jp-Dialog")  # which kernel, or whether to wait longer
    page.add_locator_handler(dialog, lambda: dialog.locator(".jp-mod-accept").first.click())
    yield Lesson(page)
    opener.close()


def test_no_output_is_shown_before_its_cell_runs(lesson):
    assert lesson.page.locator(".jp-OutputArea-output").count() == 0


def test_a_click_is_a_prediction(lesson):
    for beginning in (
        "from nanovllm_edu import LLM,",
        "from nanovllm_edu.introspect",
        "engine =",
        "num_prompt,",
    ):
        lesson.run(beginning)
    lesson.cell("num_prompt,").locator("input[type=radio]").nth(1).click()
    lesson.run("first =")
    lesson.run("second =")
    assert "You predicted 14; it is 26" in lesson.run_folded("records =")


def test_what_reveals_an_answer_is_folded(lesson):
    """Its source says why, and would say it before the bet."""
    assert lesson.page.get_by_text("bet.reveal(").count() == 0
    folded = lesson.page.locator(".jp-Placeholder-content").first
    expect(folded).to_have_text("# @title The answer: run this cell")


def test_runs_from_top_to_bottom(lesson):
    page = lesson.page
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    page.wait_for_function(
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
        ".every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent.trim()))",
        timeout=120_000,
    )
    errors = page.locator("[data-mime-type*='jupyter.error'], [data-mime-type*='jupyter.stderr']")
    assert errors.all_inner_texts() == []
    plots = page.locator(".jp-RenderedSVG")
    assert plots.count() == 3
    assert plots.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth)")
    assert page.locator(".nv[data-level=basic] .nv-timeline").count() == 2  # show and StepPlayer


def test_an_exercise_is_checked_hinted_and_solved(lesson):
    lesson.write("def run_to_end", ONE_STEP_ONLY)
    assert "You stopped while sequences [0, 1, 2] were unfinished" in lesson.run("check(")
    assert "Hint 2 of 3" in lesson.run("hint(")  # the first one came with all the other cells
    assert "Hint 3 of 3" in lesson.run("hint(")
    assert "tests/lessons/solutions/lesson_00.py" in lesson.run("check(")
    lesson.write("def run_to_end", ALL_STEPS)
    assert lesson.run("check(").lstrip("[]:0123456789 \n").startswith("✓")
