"""The widget inside a running JupyterLab: a live engine, driven through its buttons.

The same engine runs here as well, and what the page shows is compared with it. The tests share one
notebook and follow one another, as a learner's clicks do.
"""

import re

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.browser.conftest import ARTIFACTS, Opener, run_the_cell

pytestmark = pytest.mark.browser
VIEWER = "document.querySelectorAll('.nv')[{}].viewer"


class Lab:
    """The notebook in the browser, and the engine that it should be showing."""

    def __init__(self, page) -> None:
        self.page = page
        self.twin = Recorder(
            LLMEngine(
                ChecksumRunner(14, 4),
                EngineConfig(max_num_seqs=4, max_num_batched_tokens=12, max_model_len=40),
            )
        )
        for number, length in enumerate([14, 18, 12, 16]):
            self.add([11, 12, 13, 14, 15, 16, 17, 18, 100 + number, 7], length)

    def add(self, prompt: list[int], max_tokens: int) -> None:
        from nanovllm_edu.core.request.sampling_params import SamplingParams

        self.twin.add_request(prompt, SamplingParams(temperature=0.0, max_tokens=max_tokens))

    def wait_for_text(self, text: str) -> None:
        self.page.locator("[role=status], [role=alert]", has_text=text).wait_for(timeout=8000)

    def click(self, text: str) -> None:
        self.button(text).click(timeout=8000)

    def button(self, text: str):
        """The button whose text begins so."""
        return self.page.locator(".jupyter-button", has_text=re.compile(rf"^\s*{text}"))

    def choice(self, label: str):
        return self.page.locator(".widget-dropdown", has_text=label).locator("select")

    def step(self, view: int = 0) -> int:
        return self.page.evaluate(f"{VIEWER.format(view)}.step")

    def wait_for_step(self, step: int, view: int = 0) -> None:
        self.page.wait_for_function(f"{VIEWER.format(view)}.step === {step}", timeout=8000)

    def state(self, k: int, view: int = 0):
        return self.page.evaluate(f"{VIEWER.format(view)}.replay.stateDict({k})")

    def shoot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.wait_for_timeout(200)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")


@pytest.fixture(scope="module")
def lab(chromium, jupyterlab):
    opener = Opener(chromium)
    page = opener(
        f"{jupyterlab}/lab/workspaces/player/tree/player.ipynb",
        viewport={"width": 1500, "height": 1250},
    )
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    run_the_cell(page)
    page.wait_for_selector(".nv-pool", timeout=60_000)
    page.keyboard.press("Control+b")  # the file browser gives way
    yield Lab(page)
    opener.close()


def plain(state):
    values = state.to_dict()
    values["sequences"] = {str(key): value for key, value in values["sequences"].items()}
    return values


def test_it_opens_before_the_first_step(lab):
    lab.page.wait_for_selector(".nv-chip[data-seq='3']")
    assert lab.step() == -1
    assert lab.state(-1) == plain(lab.twin.recording.state_at(-1))
    chips = lab.page.locator(".nv-queue:first-of-type .nv-chip b").all_inner_texts()
    assert chips == ["seq 0", "seq 1", "seq 2", "seq 3"]
    lab.shoot("lab-opened")


def test_step_drives_the_live_engine(lab):
    for k in range(3):
        lab.click("Step")
        lab.wait_for_step(k)
        lab.twin.step()
        assert lab.state(k) == plain(lab.twin.recording.state_at(k))
    lab.shoot("lab-stepped")


def test_back_and_the_slider_go_through_the_recording(lab):
    lab.click("Back")
    lab.wait_for_step(1)
    slider = lab.page.get_by_role("slider").first
    slider.focus()
    slider.press("ArrowLeft")
    lab.wait_for_step(0)
    shown = lab.page.locator(".nv-budget .nv-note").inner_text()
    assert shown.startswith(f"{lab.twin.record(0).num_tokens} of 12 tokens")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    lab.wait_for_step(2)


def test_a_prompt_joins_the_queue(lab):
    box = lab.page.locator(".nv-prompt input")
    box.fill("11 12 13 14 15 16 17 18 42")
    box.press("Enter")
    lab.page.wait_for_selector(".nv-queue .nv-chip[data-seq='4']")
    lab.add([11, 12, 13, 14, 15, 16, 17, 18, 42], 32)
    box.fill("not numbers")
    lab.click("Add prompt")
    lab.wait_for_text("is not a token id")
    box.fill("")


def test_run_to_a_breakpoint(lab):
    lab.choice("run to").select_option("preemption")
    lab.click("Run")
    while not lab.twin.step().preempted:
        pass
    k = len(lab.twin) - 1
    lab.wait_for_step(k)
    assert lab.state(k) == plain(lab.twin.recording.state_at(k))
    why = lab.page.locator(".nv-event[data-kind=Preempted]").first.inner_text()
    assert next(e.why for e in lab.twin.record(k).events if type(e).__name__ == "Preempted") in why
    lab.shoot("lab-breakpoint")


def test_a_block_leads_to_its_tokens(lab):
    state = lab.twin.engine.state()
    seq_id = state.running[-1]
    block = state.block_tables[seq_id][-1]
    x, y = lab.page.evaluate(f"{VIEWER.format(0)}.pool.place({block})")
    lab.page.locator(".nv-pool-frame").click(position={"x": x + 8, "y": y + 8})
    assert f"Sequence {seq_id}" in lab.page.locator(".nv-sequence h3").inner_text()
    linked = lab.page.eval_on_selector_all(".nv-linked", "all => all.map(e => +e.dataset.pos)")
    first = 4 * (len(state.block_tables[seq_id]) - 1)
    num_known = len(state.sequences[seq_id].token_ids)
    assert linked == list(range(first, min(first + 4, num_known)))


def test_a_fork_goes_on_beside_it(lab):
    lab.choice("with policy").select_option("phase-separated")
    lab.click("Fork after step")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 2")
    forked = Recorder(lab.twin.engine.fork(policy=PhaseSeparatedPolicy()))
    begin = len(lab.twin)
    for k in range(3):
        lab.click("Step")
        lab.wait_for_step(begin + k)
        lab.wait_for_step(begin + k, view=1)
        lab.twin.step()
        forked.step()
        assert lab.state(begin + k) == plain(lab.twin.recording.state_at(begin + k))
        assert lab.state(begin + k, view=1) == plain(forked.recording.state_at(k))
    lab.shoot("lab-fork")


def test_a_fork_from_an_earlier_step_repeats_what_was(lab):
    lab.click("Close fork")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 1")
    lab.page.evaluate(f"{VIEWER.format(0)}.goto(4)")
    lab.button("Fork after step 4").wait_for()
    lab.choice("with policy").select_option("as it is")
    lab.click("Fork after step 4")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 2")
    lab.wait_for_step(4, view=1)  # what was before is its own past
    for k in range(5):
        assert lab.state(k, view=1) == plain(lab.twin.recording.state_at(k))
    lab.shoot("lab-fork-unchanged")
    for k in range(5, 8):
        lab.click("Step")
        lab.wait_for_step(k, view=1)
        lab.wait_for_step(k)
        assert lab.state(k, view=1) == plain(lab.twin.recording.state_at(k))
    lab.page.locator(".widget-html", has_text="the same so far").nth(1).wait_for()
    titles = [title for title in lab.page.locator(".widget-html").all_inner_texts() if title]
    tokens = sum(len(new) for r in lab.twin.recording.records[5:8] for new in r.new_tokens.values())
    assert sum(f"since the fork: 3 steps, {tokens} tokens" in title for title in titles) == 2
    lab.shoot("lab-fork-earlier")
    lab.click("Close fork")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 1")


def test_a_temperature_is_changed_while_it_runs(lab):
    seq_id = lab.twin.engine.state().running[-1]
    lab.page.evaluate(f"{VIEWER.format(0)}.goto(Infinity)")
    lab.page.locator(f".nv-chip[data-seq='{seq_id}']").click()
    lab.page.get_by_label("to", exact=True).fill("0.9")
    lab.page.get_by_label("to", exact=True).press("Tab")
    lab.click("Set temperature")
    lab.wait_for_text(f"Sequence {seq_id} is sampled at temperature 0.9")
    lab.twin.update_request(seq_id, temperature=0.9)
    for _ in range(2):
        lab.click("Step")
        lab.twin.step()
        lab.wait_for_step(len(lab.twin) - 1)
    k = len(lab.twin) - 1
    assert lab.state(k) == plain(lab.twin.recording.state_at(k))
    lab.page.wait_for_function(
        "document.querySelector('.nv-facts').innerText.includes('temperature 0.9')"
    )


def test_it_is_usable_at_900_pixels(lab):
    lab.page.set_viewport_size({"width": 900, "height": 1250})
    lab.page.wait_for_timeout(600)
    output = lab.page.locator(".jp-OutputArea-output").last.bounding_box()
    view = lab.page.locator(".nv").bounding_box()
    assert view["x"] + view["width"] <= output["x"] + output["width"] + 1
    assert lab.page.locator(".nv").evaluate("e => e.scrollWidth <= e.clientWidth")
    lab.shoot("lab-900")


def test_every_button_is_in_its_cell_on_a_phone(lab):
    lab.page.set_viewport_size({"width": 390, "height": 1250})
    lab.page.wait_for_timeout(600)
    ends = "all => all.map(e => e.getBoundingClientRect().right)"
    output = lab.page.locator(".jp-InputArea-editor").first.bounding_box()
    parts = ".jp-OutputArea-output :is(.jupyter-button, .widget-dropdown, .widget-slider, input)"
    right = max(lab.page.eval_on_selector_all(parts, ends))
    lab.shoot("lab-390")
    assert right <= output["x"] + output["width"] + 1
    lab.page.set_viewport_size({"width": 1500, "height": 1250})
    lab.page.wait_for_timeout(300)


def test_the_dark_theme_is_followed(lab):
    before = lab.page.locator(".nv").first.get_attribute("data-theme")
    lab.page.get_by_text("Settings", exact=True).click()
    lab.page.get_by_text("Theme", exact=True).hover()
    lab.page.get_by_text("JupyterLab Dark", exact=True).click()
    lab.page.wait_for_selector(".nv[data-theme=dark]")
    lab.page.wait_for_timeout(500)
    assert before == "light"
    lab.shoot("lab-dark")


def test_the_keyboard_moves_the_view(lab):
    at = lab.step()
    lab.page.locator(".nv").first.focus()
    lab.page.keyboard.press("ArrowLeft")
    lab.wait_for_step(at - 1)
    lab.page.keyboard.press("ArrowRight")
    lab.wait_for_step(at)
    # The kernel follows a little later, and a button's message may overtake a view's.
    lab.button(f"Fork after step {at}").wait_for(timeout=8000)
    lab.button("Step").focus()
    lab.page.keyboard.press("Enter")
    lab.wait_for_step(at + 1)


def test_the_buttons_stay_in_sight_while_the_view_is_scrolled(lab):
    frame = lab.page.locator(".jp-NotebookPanel-notebook").bounding_box()
    scrolled = lab.page.locator(".nv-phases").last
    scrolled.scroll_into_view_if_needed()
    lab.page.wait_for_timeout(300)
    box = lab.button("Step").bounding_box()
    assert frame["y"] - 1 <= box["y"] < frame["y"] + 80
    lab.shoot("lab-scrolled")


def test_a_level_that_is_chosen_in_one_view_is_shown_in_both(lab):
    lab.click("Fork after step")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 2")
    lab.page.locator(".nv-levels [data-level=basic]").first.click()
    lab.page.wait_for_function("document.querySelectorAll('.nv[data-level=basic]').length === 2")
    tops = lab.page.eval_on_selector_all(
        ".nv-timeline", "all => all.map(e => e.getBoundingClientRect().top)"
    )
    assert abs(tops[0] - tops[1]) < 1  # panels are aligned
    lab.shoot("lab-basic")
    lab.page.locator(".nv-levels [data-level=everything]").first.click()
    lab.click("Close fork")
    lab.page.wait_for_function("document.querySelectorAll('.nv').length === 1")


def test_a_cell_that_runs_again_begins_with_a_new_player(lab):
    run_the_cell(lab.page)
    lab.page.wait_for_function(
        f"document.querySelectorAll('.nv').length === 1 && {VIEWER.format(0)}.step === -1"
    )
    assert lab.button("Step").count() == 1


def test_a_player_says_that_its_kernel_has_ended(lab):
    lab.page.get_by_text("Kernel", exact=True).click()
    lab.page.get_by_text("Restart Kernel…", exact=True).click()
    lab.page.locator(".jp-Dialog .jp-mod-accept").click()
    row = lab.page.locator(".nv-stays.jupyter-widgets-disconnected")
    row.wait_for(timeout=20_000)
    said = row.evaluate("e => getComputedStyle(e, '::after').content")
    assert "Run the cell again" in said
    lab.shoot("lab-kernel-ended")
