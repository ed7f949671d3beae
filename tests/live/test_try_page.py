"""The page of the live engine in a real Chromium that may reach this machine only.

One page, loaded once, begins anew for every test of a verb; links, keys, a narrow window and what a
browser lacks have pages of their own.
"""

import re

import pytest

from nanovllm_edu.introspect import load
from nanovllm_edu.live.judging import STARTER
from nanovllm_edu.live.scenes import SCENES
from tests.live.test_judging import RIGHT
from tests.loopback import served

pytestmark = pytest.mark.browser

LIVE = "html[data-live=yes]"
BOOT = 120_000
"""Milliseconds in which Python starts on a machine that does other things as well."""
ENDLESS = """import itertools

class ShortestFirst:
    def order(self, running, waiting):
        return all(itertools.repeat(True))

    def victim(self, candidates):
        return candidates[-1]
"""


class Tab:
    """One page, and what a person sees and does on it."""

    def __init__(self, browser, address: str, link: str = "", **options) -> None:
        self.asked: list[str] = []
        self.problems: list[str] = []
        self.context = browser.new_context(**{"reduced_motion": "no-preference", **options})
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(f"{address}/try.html{link}")

    def _note(self, message) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def wait_live(self) -> "Tab":
        self.page.wait_for_selector(LIVE, timeout=BOOT)
        return self

    def wait_model(self) -> None:
        self.page.wait_for_selector("#try-status:has-text('the model in the box')", timeout=BOOT)

    def text(self, name: str) -> str:
        return self.page.locator(f"#try-{name}").inner_text()

    def click(self, name: str) -> None:
        self.page.click(f"#try-{name}")

    def open(self, name: str):
        """A folded part, unfolded."""
        part = self.page.locator(f"#try-{name}")
        if part.get_attribute("open") is None:
            part.locator("summary").click()
        return part

    def wait_said(self, pattern: str, where: str = "#try-said") -> str:
        said = self.page.locator(where, has_text=re.compile(pattern))
        said.wait_for(timeout=BOOT)
        return said.inner_text()

    def wait_place(self, text: str) -> None:
        self.page.locator("#try-place", has_text=text).wait_for(timeout=BOOT)

    def begin(self) -> None:
        """The first scene, before its first step, as whoever opens the page finds it."""
        self.page.select_option("#try-until", "")
        self.page.click("[data-scene=five]")
        self.wait_place("before the first step")

    def steps(self, count: int) -> None:
        """Takes the first steps of a scene."""
        for number in range(count):
            self.click("step")
            self.wait_place(f"step {number} of {number}")

    def wait_stopped(self) -> None:
        self.page.wait_for_selector("#try-run[aria-pressed=false]", timeout=BOOT)

    def step_of(self, number: int = 0) -> int:
        return self.page.locator(".nv").nth(number).evaluate("el => el.viewer.step")


@pytest.fixture(scope="module")
def address(site):
    with served(site) as top:
        yield top


@pytest.fixture(scope="module")
def loaded_tab(chromium, address):
    """Python and the model are there; that takes the most time."""
    tab = Tab(chromium, address).wait_live()
    tab.wait_model()
    yield tab
    tab.context.close()


@pytest.fixture
def tab(loaded_tab):
    """The page, begun anew; afterwards it had no error."""
    loaded_tab.begin()
    yield loaded_tab
    assert loaded_tab.problems == []


@pytest.fixture
def open_tab(chromium, address):
    tabs = []

    def go(*args, **options):
        tabs.append(Tab(chromium, address, *args, **options))
        return tabs[-1]

    yield go
    for tab in tabs:
        tab.context.close()


# ------------------------------------------------------------------------ what one can do on it


def test_the_model_answers_when_its_weights_are_there(tab):
    assert "the model in the box" in tab.text("status")
    assert tab.text("place") == "before the first step"
    assert tab.page.locator("#try-recorded").count() == 0


def test_step_back_and_the_slider(tab):
    tab.steps(3)
    tab.click("back")
    tab.wait_place("step 1 of 2")
    assert tab.step_of() == 1
    tab.page.locator("#try-slider").fill("0")
    tab.wait_place("step 0 of 2")


def test_what_is_typed_is_asked(tab):
    tab.page.fill("#try-prompt", "<b>Who</b> is the baker?")
    tab.page.press("#try-prompt", "Enter")
    tab.wait_said("It waits")
    assert tab.page.locator("#try-prompt").input_value() == ""
    assert "<b>Who</b>" in tab.page.evaluate(
        "document.querySelector('.nv').viewer.replay.tokens.get(5)"
        ".map((id) => document.querySelector('.nv').viewer.replay.text(id)).join('')"
    )
    tab.page.fill("#try-prompt", "  ")
    tab.page.press("#try-prompt", "Enter")
    assert "prompt is empty" in tab.wait_said("empty")


def test_a_sequence_is_ended(tab):
    tab.steps(1)
    tab.click("abort")
    assert re.search(r"Sequence \d is ended", tab.wait_said("is ended"))


def test_run_stops_where_it_was_told_to(tab):
    tab.page.select_option("#try-until", "preemption")
    tab.click("run")
    tab.wait_said("Stopped after step .*preemption")
    assert tab.page.locator(".nv-event[data-kind=Preempted]").count() >= 1


def test_a_fork_is_shown_beside_and_moves_along(tab):
    tab.steps(2)
    form = tab.open("fork")
    form.locator("select").first.select_option("phase-separated")
    form.locator("button[type=submit]").click()
    tab.wait_said("Forked after step")
    assert tab.page.locator(".nv").count() == 2
    assert "policy=phase-separated" in tab.page.locator(".try-branch").nth(1).inner_text()
    before = tab.step_of(0), tab.step_of(1)
    tab.click("step")
    tab.wait_place(f"step {before[0] + 1} of")
    assert tab.step_of(1) == before[1] + 1
    form.locator("button", has_text="Close").click()
    tab.page.locator(".nv").nth(1).wait_for(state="detached")


def policy(tab, source, button):
    editor = tab.open("policy")
    editor.locator("textarea").fill(source)
    editor.locator("button", has_text=button).click()
    return editor


def test_a_policy_is_checked_and_scored_as_in_the_lesson(tab):
    tab.steps(2)
    policy(tab, RIGHT, "Check")
    assert "Mean time to first token" in tab.wait_said("✓", ".try-verdict")
    policy(tab, STARTER.format(name="ShortestFirst"), "Check")
    assert "you admit them in the order" in tab.wait_said("✗", ".try-verdict")
    policy(tab, RIGHT, "Score")
    rows = tab.page.locator(".try-scores tbody tr")
    rows.first.wait_for(timeout=BOOT)
    assert rows.count() == 9
    policy(tab, RIGHT, "Run it in a fork")
    tab.wait_said("Forked")
    assert "ShortestFirst" in tab.page.locator(".try-branch").nth(1).inner_text()


def test_an_endless_policy_is_ended_and_the_scenario_goes_on(tab):
    tab.steps(3)
    place = tab.text("place").split(" of ")[1]
    policy(tab, ENDLESS, "Check")
    tab.wait_said("did not answer for 5 seconds and was ended", ".try-verdict")
    tab.wait_said("stands where it stood")
    assert tab.text("place") == f"step {place} of {place}"
    tab.click("step")
    tab.wait_place(f"step {int(place) + 1} of")


def test_it_can_be_taken_along(tab, tmp_path):
    tab.steps(4)
    part = tab.open("take")
    for name, suffix in (("as a page", "html"), ("the recording", "json")):
        with tab.page.expect_download() as download:
            part.locator("button", has_text=name).click()
        download.value.save_as(tmp_path / f"steps.{suffix}")
    assert len(load(tmp_path / "steps.json")) > 3
    assert "<title>An engine in the browser" in (tmp_path / "steps.html").read_text("utf-8")
    part.locator("button", has_text="link").click()
    tab.wait_said("in the address bar")
    assert tab.page.url.partition("#")[2].startswith("v=1&num_blocks=16&ask=0,40,What")


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if scene.captions])
def test_next_leads_from_caption_to_caption(tab, name):
    tab.page.click(f"[data-scene={name}]")
    captions = len(SCENES[name].captions)
    tab.wait_said(f"{captions} things to notice", "#try-caption")
    for number in range(1, captions + 1):
        tab.click("next")
        tab.wait_said(f"^{number} of {captions}", "#try-caption")
        tab.wait_stopped()
    assert tab.text("next") == "To the end"


def test_other_settings_begin_anew(tab):
    form = tab.open("settings")
    form.locator("input").first.fill("4")
    form.locator("select").nth(2).select_option("off")
    form.locator("button[type=submit]").click()
    tab.page.locator(".nv-about", has_text="blocks of 4 tokens").wait_for(timeout=BOOT)
    assert "no prefix caching" in tab.page.locator(".nv-about").inner_text()


def test_a_link_that_is_wrong_is_explained_and_a_good_one_opens(tab):
    tab.page.evaluate("location.hash = 'v=1&num_blocks=9999'")
    assert "'9999' is not a whole number from 4 to 256" in tab.wait_said("cannot be opened")
    tab.page.evaluate("location.hash = 'v=1&num_blocks=20&say=0,9,Hello&step=4'")
    tab.wait_place("step 3 of 3")
    assert tab.text("question") == "A scenario from a link."


def test_nothing_came_from_elsewhere_and_the_policy_was_kept(tab, address):
    assert tab.asked and all(url.startswith((address, "blob:", "data:")) for url in tab.asked)
    policy = tab.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "unsafe" not in policy and "default-src 'none'" in policy


# --------------------------------------------------------------------- pages of their own


def test_keys_are_enough_and_a_narrow_window_too(open_tab):
    """Also: whoever opens a link is where it leads, and the site's toggle is followed."""
    size = {"width": 390, "height": 844}
    tab = open_tab("#v=1&ask=0,30,Hello&step=2", viewport=size, color_scheme="dark").wait_live()
    tab.wait_model()
    tab.wait_place("step 1 of 1")
    for name in ("step", "run"):
        reach(tab.page, f"try-{name}")
        tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Enter")  # Run is Stop by now
    tab.wait_stopped()
    assert tab.step_of() >= 2
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.page.locator(".nv").get_attribute("data-theme") == "dark"
    tab.page.evaluate("document.body.dataset.mdColorScheme = 'default'")
    tab.page.wait_for_selector(".nv[data-theme=light]")


def reach(page, name: str) -> None:
    """Tabs on until an element has the focus."""
    for _ in range(150):
        if page.evaluate("document.activeElement.id") == name:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no key leads to {name}")


def test_no_accessibility_rule_of_axe_is_broken(open_tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab = open_tab(bypass_csp=True).wait_live()
    for name in ("settings", "fork", "policy", "take"):
        tab.open(name)
    tab.click("step")
    tab.wait_place("step 0 of 0")
    violations = axe.Axe().run(tab.page).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []


def test_from_disk_the_page_says_what_is_missing(chromium, site):
    page = chromium.new_page()
    page.goto((site / "try.html").as_uri())
    page.locator("#try-status", has_text="opened from disk").wait_for()
    assert page.locator("iframe.recording").is_visible()
    assert not page.locator("#try-live").is_visible()
    page.close()


@pytest.mark.parametrize("name", ["Worker", "WebAssembly"])
def test_a_browser_that_lacks_something_is_told(chromium, address, name):
    context = chromium.new_context()
    context.add_init_script(f"delete window.{name}")
    page = context.new_page()
    page.goto(f"{address}/try.html")
    page.locator("#try-status", has_text="missing or switched off").wait_for()
    assert page.locator("iframe.recording").is_visible()
    context.close()
