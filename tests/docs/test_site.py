"""The site builds without a warning, its links lead somewhere, nothing comes from elsewhere."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
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
