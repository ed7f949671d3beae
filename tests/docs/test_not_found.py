"""The page for what is not there, in a site that does not know where it lies."""

import shutil
import subprocess
import sys

import pytest

from tests.docs.site_pages import ROOT
from tests.loopback import served

pytestmark = pytest.mark.browser

CONFIGURATION = f"""
site_name: A site
use_directory_urls: false
extra_css: [assets/site.css]
theme: {{ name: material, custom_dir: {ROOT}/docs/overrides, font: false }}
nav: [{{ Home: index.md }}, {{ Learn: [learn/index.md] }}]
"""
COLOURS = {
    "light": ["rgb(32, 36, 44)", "rgb(255, 255, 255)"],
    "dark": ["rgb(226, 228, 233)", "rgb(30, 33, 41)"],
}
"""Of words and paper."""


@pytest.fixture(scope="module")
def small_site(tmp_path_factory):
    """Two pages with our templates, built in a moment."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "mkdocs.yml").write_text(CONFIGURATION)
    for name in ("index.md", "learn/index.md", "assets/site.css"):
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "docs" / "index.md").write_text("# Home")
    (folder / "docs" / "learn" / "index.md").write_text("# Learn")
    shutil.copy(ROOT / "docs" / "assets" / "site.css", folder / "docs" / "assets")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, timeout=100)
    return folder / "site"


@pytest.mark.parametrize("path", ["", "/sub/path"])
@pytest.mark.parametrize("gone", ["gone.html", "some/deep/folder/gone.html", "gone/"])
def test_its_links_begin_where_the_site_does(chromium, small_site, path, gone):
    with served(small_site, path) as address:
        page = chromium.new_page()
        page.goto(f"{address}/{gone}")
        assert page.title() == "This page is not here - A site"
        link = page.get_by_role("link", name="Learn")
        page.wait_for_function(f"document.links[1].pathname === '{path}/learn/index.html'")
        link.click()
        assert page.url == f"{address}/learn/index.html"
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_its_style_in_itself(chromium, small_site, scheme):
    with served(small_site, "/sub/path") as address:
        page = chromium.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
        page.goto(f"{address}/sub/gone.html")
        style = page.evaluate_handle("getComputedStyle(document.body)")
        found = [style.evaluate(f"style => style.{name}") for name in ("color", "backgroundColor")]
        assert found == COLOURS[scheme]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.close()
