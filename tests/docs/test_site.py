"""The site builds without a warning, its links lead somewhere, nothing comes from elsewhere."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocs_jupyter")

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that make a browser fetch something, and the attribute that says what."""
NOT_LOADED = {"canonical", "prev", "next", "edit"}
RECORDINGS = ("shared_prompt", "preemption", "chunked_mixed", "chunked_phases", "eviction")


@dataclass(repr=False)
class Page(HTMLParser):
    """What a page points to, and what can be pointed to in it."""

    text: str
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    images: list[dict] = field(default_factory=list)
    frames: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes) -> None:
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in LOADED and values.get(LOADED[tag]) and values.get("rel") not in NOT_LOADED:
            self.loads.append(values[LOADED[tag]])
        if tag == "img":
            self.images.append(values)
        if tag == "iframe":
            self.frames.append(values)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site, built once. Warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site) -> dict[Path, Page]:
    """Every page but the recordings, which hold JSON and a script, no markup."""
    paths = [p for p in sorted(site.rglob("*.html")) if p.parent.name != "recordings"]
    return {path: Page(path.read_text("utf-8")) for path in paths}


def test_internal_links_and_anchors_lead_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(unquote(link))
            if urlsplit(target).scheme or path.name == "404.html":
                continue
            file = (path.parent / target).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            where = f"{path.relative_to(site)}: {link}"
            if not file.exists() or (anchor and file in pages and not has(pages[file], anchor)):
                broken.append(where)
    assert not broken, "\n".join(broken)


def has(page: Page, anchor: str) -> bool:
    """`__tabbed_…` and the like are made by the theme's script."""
    return anchor in page.anchors or anchor.startswith("__")


def test_nothing_is_loaded_from_elsewhere(site, pages):
    foreign = [
        f"{path.relative_to(site)}: {url}"
        for path, page in pages.items()
        for url in page.loads
        if urlsplit(url).scheme in ("http", "https") or url.startswith("//")
    ]
    assert not foreign, "\n".join(foreign)


def test_style_sheets_load_nothing_from_elsewhere(site):
    foreign = [
        path.name
        for path in site.rglob("*.css")
        for url in path.read_text("utf-8").split("url(")[1:]
        if url.lstrip("\"'").startswith(("http", "//"))
    ]
    assert not foreign


def test_what_a_page_loads_exists(site, pages):
    missing = [
        f"{path.relative_to(site)}: {url}"
        for path, page in pages.items()
        if path.name != "404.html"
        for url in page.loads
        if not url.startswith("data:") and not (path.parent / urlsplit(unquote(url)).path).exists()
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_are_embedded_and_self_contained(site, pages, name):
    page = site / "watch" / "recordings" / f"{name}.html"
    text = page.read_text("utf-8")
    assert "default-src 'none'" in text, "the page's policy forbids it to load anything"
    assert '"format":"nanovllm-edu recording"' in text
    frames = [frame["src"] for parsed in pages.values() for frame in parsed.frames]
    assert any(src.endswith(f"recordings/{name}.html") for src in frames), "nobody shows it"


def test_frames_and_images_say_what_they_show(site, pages):
    silent = [
        f"{path.relative_to(site)}: {element.get('src', '')[:60]}"
        for path, page in pages.items()
        for element, name in [
            *((image, "alt") for image in page.images),
            *((frame, "title") for frame in page.frames),
        ]
        if name not in element
    ]
    assert not silent, "\n".join(silent)


def test_every_lesson_is_a_page(site):
    for notebook in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        text = (site / "learn" / f"{notebook.stem}.html").read_text("utf-8")
        assert "jp-Cell" in text
        assert "requirejs" not in text.lower()


def test_every_option_is_explained(site):
    from dataclasses import fields

    from nanovllm_edu import EngineConfig

    page = Page((site / "reference" / "configuration.html").read_text("utf-8"))
    assert {option.name for option in fields(EngineConfig)} <= page.anchors


# ------------------------------------------------------------------------------ in a browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def address(site):
    """The site, served on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def open_page(chromium, address):
    """Opens a page of the site; afterwards there was no error, and nothing left this machine."""
    problems, contexts = [], []

    def go(name, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: check_address(r.url, address, problems))
        page.goto(f"{address}/{name}", wait_until="networkidle")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not problems


def check_address(url, address, problems) -> None:
    if not url.startswith((address, "data:", "blob:")):
        problems.append(f"a request left this machine: {url}")


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "watch/preemption", "watch/chunked", "watch/eviction"])
def test_an_embedded_recording_steps(open_page, name):
    page = open_page(f"{name}.html")
    frames = page.frames[1:]
    assert frames
    for frame in frames:
        bar = frame.locator(".nv-bar").first
        assert "step 0" in bar.inner_text()
        frame.locator('[data-action="next"]').click()
        frame.wait_for_function("document.querySelector('.nv-bar').innerText.includes('step 1')")


@pytest.mark.browser
@pytest.mark.parametrize(
    "name",
    ["index", "learn/00_start_here", "tour/02_scheduler", "use/install", "reference/api_engine"],
)
def test_a_narrow_page_does_not_scroll_sideways(open_page, name):
    page = open_page(f"{name}.html", viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_frames_follow_the_theme_of_the_page(open_page):
    page = open_page("index.html", color_scheme="light")
    root = page.frames[1].locator("[data-theme]").first
    assert root.get_attribute("data-theme") == "light"
    page.locator("label[for=__palette_1]").click()
    page.frames[1].wait_for_function("document.querySelector('[data-theme=dark]') !== null")
