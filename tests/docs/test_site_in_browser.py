"""The built site in a real Chromium that may reach this machine only; it lies under a path."""

from urllib.parse import urlsplit

import pytest

from tests.docs.conftest import HOSTED
from tests.loopback import served

pytestmark = pytest.mark.browser

KINDS = {
    "home": "index",
    "lesson": "learn/05_prefix_caching",
    "watch": "watch/chunked",
    "tour": "tour/02_scheduler",
    "map": "tour/map",
    "use": "use/install",
    "reference": "reference/events",
    "configuration": "reference/configuration",
    "measured": "measured/gpu",
    "glossary": "glossary",
    "architecture": "architecture",
}
SCHEMES = {"light": "default", "dark": "slate"}
VIEWER = "document.querySelector('.nv').viewer"


@pytest.fixture(scope="module")
def address(site):
    """The site, served on the loopback."""
    with served(site, urlsplit(HOSTED["SITE_URL"]).path.rstrip("/")) as address:
        yield address


@pytest.fixture
def open_page(chromium, address):
    """Opens pages of the site; afterwards there was no error, and nothing asked for elsewhere."""
    problems, contexts = [], []

    def check(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        problems.append(f"a request for elsewhere: {route.request.url}")
        return route.abort()

    def go(name, **options):
        context = chromium.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        context.route("**/*", check)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.goto(f"{address}/{name}.html", wait_until="load")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not problems


def frames_of(page):
    """The recordings of a page, each loaded (they are lazy until they come near)."""
    for element in page.query_selector_all("iframe.recording"):
        element.scroll_into_view_if_needed()
        frame = element.content_frame()
        frame.wait_for_selector(".nv-step")
        yield frame


def step_of(frame) -> int:
    return frame.evaluate(f"{VIEWER}.step")


def wait_until(page, is_so) -> None:
    """Playwright's own waiting evaluates text, which a recording's policy rightly forbids."""
    for _ in range(200):
        if is_so():
            return
        page.wait_for_timeout(50)
    pytest.fail("it never came true")


# ------------------------------------------------------------------------------ recordings


def test_every_recording_shows_what_it_holds(open_page, site, recorded):
    page = None
    for path, recording in recorded.items():
        name = str(path.relative_to(site).with_suffix(""))
        page = open_page(name)
        for k in sorted({0, len(recording) // 2, len(recording) - 1}):
            page.evaluate(f"{VIEWER}.goto({k})")
            state = recording.state_at(k)
            shown = page.evaluate(f"{VIEWER}.replay.stateDict({k})")
            assert shown["running"] == list(state.running), f"{name}, step {k}"
            assert f"step {recording[k].step_id}" in page.inner_text(".nv-step")
            note = page.inner_text(".nv-pool .nv-note")
            for kind in ("used", "cached", "free"):
                assert f"{state.num_blocks(kind)} {kind}" in note.replace(",", ""), name
        page.context.close()


def test_every_embedded_recording_steps(open_page, site, pages):
    embedding = [path for path, page in pages.items() if page.frames]
    assert len(embedding) >= 18
    for path in embedding:
        page = open_page(str(path.relative_to(site).with_suffix("")))
        for frame in frames_of(page):
            frame.evaluate(f"{VIEWER}.goto(0)")
            frame.click('[data-action="next"]')
            assert step_of(frame) == 1, f"{path}: {frame.url}"
        page.context.close()


def test_the_home_page_plays_until_it_is_touched(open_page):
    page = open_page("index", reduced_motion="no-preference")
    (frame,) = frames_of(page)
    wait_until(page, lambda: step_of(frame) >= 2)
    frame.click(".nv-timeline")
    stopped = step_of(frame)
    page.wait_for_timeout(1000)
    assert step_of(frame) == stopped


def test_the_home_page_rests_for_those_who_want_less_motion(open_page):
    page = open_page("index", reduced_motion="reduce")
    (frame,) = frames_of(page)
    page.wait_for_timeout(1000)
    assert step_of(frame) == 0


def test_side_by_side_recordings_move_together(open_page):
    page = open_page("watch/chunked", viewport={"width": 900, "height": 1000})
    first, second = frames_of(page)
    boxes = [frame.frame_element().bounding_box() for frame in (first, second)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"], "they stand side by side"
    first.evaluate(f"{VIEWER}.goto(8)")
    assert step_of(second) == 8
    second.click('[data-action="next"]')
    assert step_of(first) == 9


def test_recordings_work_from_disk_too(chromium, site):
    page = chromium.new_page()
    page.goto((site / "learn" / "03_paged_memory.html").as_uri())
    (frame,) = frames_of(page)
    frame.click('[data-action="next"]')
    assert step_of(frame) == 1
    page.close()


def test_frames_follow_the_theme_of_the_page(open_page):
    page = open_page("index", color_scheme="light")
    (frame,) = frames_of(page)
    assert frame.get_attribute("[data-theme]", "data-theme") == "light"
    page.locator("label[for=__palette_1]").click()
    frame.wait_for_selector("[data-theme=dark]", state="attached")


# ----------------------------------------------------------------------------------- reading


def test_a_page_that_is_not_there_leads_back(chromium, address):
    page = chromium.new_page()
    failed = []
    page.on("response", lambda answer: failed.append(answer.url) if answer.status == 404 else None)
    page.goto(f"{address}/some/folder/gone.html", wait_until="load")
    assert failed == [f"{address}/some/folder/gone.html"], "its style, script and icon are found"
    assert page.locator("h1").inner_text() == "This page is not here"
    page.locator("article a", has_text="Learn").click()
    assert page.url == f"{address}/learn/index.html"
    page.close()


def test_plots_take_the_colours_of_the_page(open_page):
    inks = {}
    for scheme in SCHEMES:
        page = open_page("learn/03_paged_memory", color_scheme=scheme)
        words = page.locator(".jp-RenderedSVG svg text").first
        inks[scheme] = words.evaluate("e => getComputedStyle(e).fill")
        around = page.locator(".jp-RenderedSVG").first
        assert inks[scheme] == around.evaluate("e => getComputedStyle(e).color")
    assert inks["light"] != inks["dark"]


@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
def test_a_narrow_page_does_not_scroll_sideways(open_page, name):
    page = open_page(name, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.eval_on_selector_all(
        ".md-content p, .md-content li",
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))",
    )
    assert not sizes or min(sizes) >= 11, "text can be read"


@pytest.mark.parametrize("name", ["index", "learn/00_start_here", "watch/chunked"])
def test_recordings_are_not_cut_off_on_a_phone(open_page, name):
    page = open_page(name, viewport={"width": 390, "height": 844})
    for frame in frames_of(page):
        seen = page.evaluate(
            """frame => {
              const { left, right } = frame.getBoundingClientRect();
              for (let box = frame.parentElement; box; box = box.parentElement) {
                if (getComputedStyle(box).overflowX === "visible") continue;
                const edge = box.getBoundingClientRect();
                if (left < edge.left - 1 || right > edge.right + 1) return false;
              }
              return left >= -1 && right <= innerWidth + 1;
            }""",
            frame.frame_element(),
        )
        assert seen, frame.url


def test_search_finds_a_term(open_page):
    page = open_page("index", viewport={"width": 1280, "height": 900})
    page.locator(".md-search__input").first.click()
    page.keyboard.type("preemption")
    result = page.locator(".md-search-result__item a").first
    result.wait_for()
    assert "reemption" in page.locator(".md-search-result__list").inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
def test_axe_finds_no_serious_fault(open_page, name, theme):
    page = open_page(name, color_scheme=theme)
    assert page.get_attribute("body", "data-md-color-scheme") == SCHEMES[theme]
    assert serious_faults(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_a_recording(open_page, theme):
    page = open_page("watch/recordings/preemption", color_scheme=theme, bypass_csp=True)
    assert serious_faults(page) == []


def serious_faults(page) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.wait_for_timeout(300)  # the theme's script prepares code blocks and tables
    found = axe.run(page, options={"resultTypes": ["violations"], "iframes": False})
    return [
        f"{fault['id']} ({len(fault['nodes'])}x): {fault['nodes'][0]['html'][:200]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
