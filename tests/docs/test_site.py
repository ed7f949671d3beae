"""The site builds without a warning, its links lead somewhere, nothing comes from elsewhere."""

import json
import re
from dataclasses import fields
from urllib.parse import unquote, urldefrag, urlsplit

from tests.docs.conftest import HOSTED
from tests.docs.site_pages import NOTEBOOKS, ROOT

# ------------------------------------------------------------------- links and what is loaded


def themed(pages):
    """Those of the theme; a lesson that runs in its page has a page of its own."""
    return {path: page for path, page in pages.items() if path.parent.name != "live"}


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


def has(page, anchor: str) -> bool:
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


def test_frames_and_pictures_say_what_they_show(site, pages):
    silent = [
        f"{path.relative_to(site)}: {element.get('src', '')[:60]}"
        for path, page in pages.items()
        for element, name in [
            *((picture, "alt") for picture in page.pictures),
            *((frame, "title") for frame in page.frames),
        ]
        if not element.get(name, "").strip()
    ]
    assert not silent, "\n".join(silent)


def test_edit_links_lead_to_the_source(site):
    base = f"{HOSTED['REPO_URL']}/edit/main"
    for page, source in {
        "use/install.html": "docs/use/install.md",
        "learn/05_prefix_caching.html": "notebooks/05_prefix_caching.ipynb",
    }.items():
        assert f'href="{base}/{source}"' in (site / page).read_text("utf-8")
        assert (ROOT / source).exists()


def test_no_two_pages_have_the_same_title(site):
    titles: dict[str, str] = {}
    for path in sorted(site.rglob("*.html")):
        title = re.search(r"<title>(.+?)</title>", path.read_text("utf-8"))[1]
        assert titles.setdefault(title, path.name) == path.name, f"{path}: {title}"


def test_a_link_to_a_page_shows_a_picture_elsewhere(site, pages):
    image = f'<meta property="og:image" content="{HOSTED["SITE_URL"]}assets/card.png">'
    assert [path for path, page in themed(pages).items() if image not in page.text] == []
    assert (site / "assets" / "card.png").exists()


def test_the_404_page_finds_everything_from_any_folder(site, pages):
    page = pages[site / "404.html"]
    path = urlsplit(HOSTED["SITE_URL"]).path
    addresses = [url for url in (*page.loads, *page.links) if not url.startswith(("#", "https:"))]
    assert addresses
    for url in addresses:
        assert url.startswith(path), url
        assert (site / unquote(urlsplit(url).path).removeprefix(path)).exists(), url


def test_pages_follow_one_another(pages):
    """Every page but the last has a next one, and nothing can be reached by search alone."""
    without = [path.name for path, page in themed(pages).items() if 'rel="next"' not in page.text]
    assert sorted(without) == ["404.html", "glossary.html"]


def test_lessons_are_rendered_without_requirejs_and_share_their_style(site):
    for notebook in NOTEBOOKS:
        text = (site / "learn" / f"{notebook.stem}.html").read_text("utf-8")
        assert "requirejs" not in text.lower()
        assert len(text) < 600_000, "style sheets are in files of their own"


# ---------------------------------------------------------------------------- generated pages


def test_python_for_the_browser_is_in_the_site(site):
    for name in ("python.js", "pyodide/pyodide.asm.wasm", "nanovllm_edu.zip", "weights.zip"):
        assert (site / "live" / name).stat().st_size


def test_a_lesson_leads_to_the_page_that_runs_it_and_back(site, pages):
    running = sorted((site / "live").glob("lesson_*.html"))
    assert [path.stem for path in running] == [
        f"lesson_{n}" for n in ("06", "08", "12", "13", "17", "18")
    ]
    for notebook in NOTEBOOKS:
        link, page = f"../live/lesson_{notebook.name[:2]}.html", f"../learn/{notebook.stem}.html"
        path = (site / "learn" / link).resolve()
        assert (link in pages[site / "learn" / f"{notebook.stem}.html"].links) == path.exists()
        assert not path.exists() or page in pages[path].links


def test_every_option_is_explained(site, pages):
    from nanovllm_edu import EngineConfig

    page = pages[site / "reference" / "configuration.html"]
    assert {option.name for option in fields(EngineConfig)} <= page.anchors


def test_measured_pages_say_when_and_how(site):
    results = ROOT / "benchmarks" / "results"
    for stem in {path.stem for path in results.iterdir() if not path.name.endswith(".gz")}:
        text = (site / "measured" / f"{stem}.html").read_text("utf-8")
        text = re.sub(r"<[^>]+>", "", text.split("<article")[1])
        assert "python benchmarks/" in text, f"{stem}: by which command?"
        assert re.search(r"20\d\d-\d\d-\d\d", text), f"{stem}: when?"


def test_the_gpu_page_shows_the_figures_of_its_file(site):
    report = json.loads((ROOT / "benchmarks" / "results" / "gpu.json").read_text())
    text = (site / "measured" / "gpu.html").read_text("utf-8")
    assert f"{report['main']['seconds']:.2f} s" in text
    for entry in report["small"].values():
        assert f"this engine {entry['ms']:.3g} ms" in text
    assert report["machine"]["gpu"] in text


def test_the_map_names_every_file_of_the_engine(site):
    text = (site / "tour" / "map.html").read_text("utf-8")
    folders = ("core", "runners", "attention", "layers", "models", "sampling")
    package = ROOT / "nanovllm_edu"
    files = [path for folder in folders for path in (package / folder).rglob("[a-z]*.py")]
    names = [path.relative_to(package).as_posix() for path in files]
    missing = [name for name in sorted(names) if f"<code>{name}</code>" not in text]
    assert not missing, "docs/tour/map.md says what these are elsewhere, or that they are our own"


def test_glossary_terms_lead_to_their_lessons(site, pages):
    page = pages[site / "glossary.html"]
    assert {"block-table", "kv-cache", "prefix-caching"} <= page.anchors
    assert {"row", "span", "claim", "radix-tree"} <= page.anchors, "terms without a lesson, too"
    assert "learn/05_prefix_caching.html" in page.links
