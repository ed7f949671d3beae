"""How the view meets a person: calm while stepping, text first, at home in every theme."""

import re
from itertools import compress

import pytest
from axe_playwright_python.sync_playwright import Axe

from nanovllm_edu.core.events import PrefixHit
from nanovllm_edu.core.step_record import kind_of
from nanovllm_edu.introspect import to_html
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.viewer.page import to_page
from tests.browser.recordings import Letters, eventful_recording, overlapped_recording

pytestmark = pytest.mark.browser
VIEWER = "document.querySelector('.nv').viewer"
WIDTHS = [1400, 900, 390]


@pytest.fixture(scope="module")
def letters():
    return eventful_recording(Letters())


@pytest.fixture
def open_recording(open_page, tmp_path):
    """Opens the page of a recording."""

    def open_it(recording, search="", **options):
        page = open_page(to_html(recording, tmp_path / "x.html").as_uri() + search, **options)
        page.wait_for_selector(".nv-timeline")
        return page

    return open_it


def go(page, k):
    page.evaluate(f"{VIEWER}.goto({k})")


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


# ------------------------------------------------------------------------------- calm


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("level", ["basic", "why", "everything"])
@pytest.mark.parametrize("make", [eventful_recording, overlapped_recording])
def test_no_panel_changes_its_height_while_stepping(open_recording, width, level, make):
    recording = make()
    window = {"viewport": {"width": width, "height": 900}}
    page = open_recording(recording, f"?level={level}", **window)
    heights = set()
    for k in range(-1, len(recording)):
        go(page, k)
        heights.add(
            page.evaluate(
                "[...document.querySelectorAll('.nv-panel, .nv, .nv-result, .nv-bar')].map(el =>"
                "`${el.className.split(' ').slice(0, 2)} ${el.offsetHeight}`).join('; ')"
            )
        )
    assert len(heights) == 1, "\n".join(heights)
    assert page.locator(".nv").evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_buttons_stay_in_sight(open_recording, letters, width):
    page = open_recording(letters, viewport={"width": width, "height": 500})
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("window.scrollY") > 300
    box = page.locator("[data-action=next]").bounding_box()
    assert 0 <= box["y"] < 60


@pytest.mark.parametrize("width", WIDTHS)
def test_phases_are_to_scale_and_named(open_recording, letters, width):
    page = open_recording(letters, viewport={"width": width, "height": 900})
    go(page, 3)
    track = page.locator(".nv-phase-track").bounding_box()["width"]
    timings = {name: round(1e6 * seconds, 1) for name, seconds in letters[3].timings.items()}
    for name, micros in timings.items():
        bar = page.locator(f".nv-phase[data-phase={name}]").bounding_box()
        expected = track * micros / sum(timings.values())
        assert bar["width"] == pytest.approx(expected, abs=1.5), name
    words = page.locator(".nv-phase-words").inner_text()
    assert all(name in words for name in timings)


# -------------------------------------------------------------------------- text first


def test_what_a_step_gave_is_shown_as_text(open_recording, letters):
    page = open_recording(letters)
    for k, record in enumerate(letters):
        go(page, k)
        shown = page.locator(".nv-result").inner_text()
        pieces = [letters.pieces[i] for tokens in record.new_tokens.values() for i in tokens]
        assert f"step {record.step_id} gave" in shown
        assert texts(page, ".nv-gave code") == pieces
        assert shown.count("ends: ") == len(record.finished)
    page.locator(".nv-gave").first.click()
    assert page.evaluate(f"{VIEWER}.selection.seq") in letters[-1].new_tokens


def test_a_sequence_stays_selected_when_it_ends(open_recording, letters):
    """Nobody chose one: the first one that ran is shown to the end, and after it."""
    page = open_recording(letters)
    first = page.evaluate(f"{VIEWER}.selection.seq")
    for k in range(len(letters)):
        go(page, k)
        assert page.evaluate(f"{VIEWER}.selection.seq") == first
    tokens = letters.fold_to(len(letters) - 1).history.token_ids[first]
    whole = "".join(letters.pieces[token] for token in tokens)
    assert page.locator(".nv-text").inner_text().replace("\n", "") == whole


def test_a_page_that_opens_at_the_end_shows_who_ended_last(open_recording, letters):
    page = open_recording(letters, f"?step={letters[-1].step_id}")
    assert page.evaluate(f"{VIEWER}.selection.seq") in letters[-1].finished
    assert page.locator(".nv-text").inner_text()


def test_a_finished_sequence_does_not_look_like_a_button(open_recording, letters):
    page = open_recording(letters)
    go(page, len(letters) - 1)
    chip = page.locator(".nv-queue-finished .nv-chip").last
    assert chip.evaluate("e => getComputedStyle(e).borderTopColor") == "rgba(0, 0, 0, 0)"


# ------------------------------------------------------------------------------ levels


SHOWN = {
    "basic": {"result", "sequence", "timeline", "pool"},
    "why": {"result", "sequence", "timeline", "pool", "queues", "budget", "why"},
    "everything": {
        "result", "sequence", "timeline", "pool", "queues", "budget", "why", "blocks", "tensors",
        "phases",
    },
}  # fmt: skip


def shown_panels(page):
    names = SHOWN["everything"]
    return {name for name in names if page.locator(f".nv-{name}").first.is_visible()}


def test_each_level_shows_more_and_the_choice_is_kept(open_recording, letters, shoot):
    page = open_recording(letters)
    assert shown_panels(page) == SHOWN["everything"]
    for level, names in SHOWN.items():
        page.locator(f".nv-levels [data-level={level}]").click()
        assert shown_panels(page) == names
        shoot(page, f"page-level-{level}")
    page.locator(".nv-levels [data-level=why]").click()
    page.reload()
    page.wait_for_selector(".nv-timeline")
    assert shown_panels(page) == SHOWN["why"]
    assert page.locator(".nv-levels [data-level=why]").get_attribute("aria-pressed") == "true"


def test_two_recordings_side_by_side_show_the_same_level(open_page, letters, tmp_path):
    for name in ("one", "other"):
        to_html(letters, tmp_path / f"{name}.html")
    frames = "".join(
        f'<iframe src="{name}.html" width="700" height="700"></iframe>' for name in ("one", "other")
    )
    (tmp_path / "outer.html").write_text(frames)
    page = open_page((tmp_path / "outer.html").as_uri(), viewport={"width": 1500, "height": 800})
    one, other = (page.frame_locator("iframe").nth(i) for i in (0, 1))
    other.locator(".nv-tensors").wait_for()
    one.locator(".nv-levels [data-level=basic]").click()
    other.locator(".nv[data-level=basic]").wait_for()


def test_a_page_may_open_with_less(open_page, letters, tmp_path):
    page = open_page(to_html(letters, tmp_path / "x.html", level="basic").as_uri())
    page.wait_for_selector(".nv-timeline")
    assert shown_panels(page) == SHOWN["basic"]


def test_text_comes_first(open_recording, letters):
    page = open_recording(letters, "?level=basic")
    tops = [page.locator(f".nv-{n}").bounding_box()["y"] for n in ("sequence", "timeline", "pool")]
    assert tops == sorted(tops)


# -------------------------------------------------------------------------- the page


def test_the_address_says_where_to_open(open_recording, letters):
    page = open_recording(letters, "?step=13&seq=5&level=why")
    assert "step 13" in page.locator(".nv-step").inner_text()
    assert "Sequence 5" in page.locator(".nv-sequence h3").inner_text()
    assert shown_panels(page) == SHOWN["why"]


@pytest.mark.parametrize("search", ["?step=999&seq=77", "?step=x&seq=", "?level=all", "?step=1e3"])
def test_an_address_that_is_nowhere_is_the_beginning(open_recording, letters, search):
    page = open_recording(letters, search)
    assert page.evaluate(f"{VIEWER}.step") == 0
    assert "Sequence 0" in page.locator(".nv-sequence h3").inner_text()


def test_keys_work_without_a_click(open_recording, letters):
    page = open_recording(letters)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{VIEWER}.step") == 2
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(f"{VIEWER}.step") == 1


def test_the_page_says_what_it_is(open_page, letters, tmp_path):
    path = tmp_path / "x.html"
    path.write_text(to_page(encode_view(letters), "A <i>run</i>", "../home.html"), encoding="utf-8")
    page = open_page(path.as_uri())
    assert page.title() == page.locator("h1").inner_text() == "A <i>run</i>"
    head = page.locator(".page-head").inner_text()
    assert f"{len(letters)} steps" in head and f"{len(letters.requests)} prompts" in head
    assert page.locator(".page-head a").get_attribute("href") == "../home.html"
    prompts = [
        "".join(letters.pieces[token] for token in request.token_ids)
        for request in letters.requests.values()
    ]
    assert texts(page, ".page-head li") == prompts  # one piece looks like markup and is text
    assert page.locator(".page-head b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_rule_of_axe_is_broken(open_recording, letters, scheme):
    page = open_recording(letters, "?step=6", color_scheme=scheme, bypass_csp=True)
    page.wait_for_timeout(300)
    violations = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []


def test_inside_another_page_it_is_the_view_alone(open_page, letters, tmp_path):
    to_html(letters, tmp_path / "x.html")
    (tmp_path / "outer.html").write_text('<iframe src="x.html" width="900" height="700"></iframe>')
    page = open_page((tmp_path / "outer.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator(".nv-timeline").wait_for()
    assert not frame.locator(".page-head").is_visible()


# ------------------------------------------------------------------------------ themes


@pytest.mark.parametrize(
    ("script", "theme"),
    [
        ("document.body.className = 'vscode-body vscode-dark'", "dark"),
        ("document.body.className = 'vscode-body vscode-high-contrast'", "dark"),
        ("document.body.className = 'vscode-light'", "light"),
        ("document.documentElement.setAttribute('theme', 'dark')", "dark"),  # Colab
        ("document.documentElement.setAttribute('theme', 'light')", "light"),
        ("document.body.dataset.jpThemeLight = 'false'", "dark"),  # JupyterLab
        ("document.body.dataset.mdColorScheme = 'slate'", "dark"),  # our site
    ],
)
def test_the_theme_of_the_place_is_followed(open_recording, letters, script, theme):
    scheme = "light" if theme == "dark" else "dark"  # what the system wishes comes last
    page = open_recording(letters, color_scheme=scheme)
    assert page.locator(".nv").get_attribute("data-theme") == scheme
    page.evaluate(script)
    page.wait_for_selector(f".nv[data-theme={theme}]")


@pytest.mark.parametrize(
    "name",
    ["--vscode-editor-background", "--colab-primary-surface-color", "--jp-layout-color0"],
)
def test_the_background_is_that_of_the_place(open_recording, letters, name):
    page = open_recording(letters)
    page.evaluate(f"document.documentElement.style.setProperty('{name}', 'rgb(1, 2, 3)')")
    colour = page.locator(".nv").evaluate("e => getComputedStyle(e).backgroundColor")
    assert re.sub(r"\s", "", colour) == "rgb(1,2,3)"


# ------------------------------------------------------------------------------- why


def test_why_begins_with_one_sentence(open_recording, letters):
    page = open_recording(letters)
    for k, record in enumerate(letters):
        go(page, k)
        line = page.locator(".nv-headline").inner_text()
        # The rest of a prompt of which the cache had all but one token is still its prefill.
        hits = {e.seq_id for e in record.events if isinstance(e, PrefixHit) and e.num_tokens}
        is_prefill = [kind_of(s) == "prefill" or s.seq_id in hits for s in record.spans]
        assert ("ecode for" in line) == (not all(is_prefill)), k
        assert ("refill of" in line) == any(is_prefill), k
        assert (" end" in line) == bool(record.finished), k
        assert (" wait" in line) == bool(record.waiting), k
        num_prefilled = sum(compress(record.spans.nums_of_tokens, is_prefill))
        assert not num_prefilled or f"refill of {num_prefilled} token" in line


def test_single_blocks_are_folded_until_asked_for(open_recording, letters):
    page = open_recording(letters, "?level=why")
    kinds = lambda: page.eval_on_selector_all(".nv-event", "all => all.map(e => e.dataset.kind)")  # noqa: E731
    go(page, 0)
    page.wait_for_timeout(300)
    folded = kinds()
    page.locator(".nv-why .nv-toggle").click()
    page.wait_for_timeout(300)
    whole = kinds()
    assert len(whole) == len(letters[0].events) > len(folded) > 0
    assert [kind for kind in whole if not kind.startswith("Block")] == folded


def test_words_are_explained_where_they_stand(open_recording, letters):
    page = open_recording(letters)
    admitted = page.locator(".nv-event[data-kind=Admitted]").first
    terms = admitted.locator("abbr").all_inner_texts()
    assert "row" in terms and "cached" in terms and "token budget" in terms
    assert "at most max_num_seqs" in admitted.locator("abbr", has_text="row").get_attribute("title")
    why = next(e.why for e in letters[0].events if type(e).__name__ == "Admitted")
    assert why in admitted.inner_text()
