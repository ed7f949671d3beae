"""A lesson's page reads as an article."""

import json

import pytest

from tests.docs.site_pages import NOTEBOOKS, ROOT

each_lesson = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def found(site) -> dict[str, str]:
    """Address of a page -> all that the search knows of it."""
    whole: dict[str, str] = {}
    for entry in json.loads((site / "search" / "search_index.json").read_text("utf-8"))["docs"]:
        page = entry["location"].split("#")[0]
        whole[page] = whole.get(page, "") + entry["title"] + entry["text"]
    return whole


def code_cells(notebook):
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@each_lesson
def test_the_search_knows_a_lessons_words_and_not_its_code(found, notebook):
    text = found[f"learn/{notebook.stem}.html"]
    assert "What production engines do differently" in text
    assert "¶" not in text
    assert "In [" not in text
    for source in code_cells(notebook):
        for line in source.split("\n"):
            assert len(line) < 30 or line not in text, line


@each_lesson
def test_imports_are_folded(site, notebook):
    text = (site / "learn" / f"{notebook.stem}.html").read_text("utf-8")
    sources = code_cells(notebook)
    expected = sum(
        all(
            not line or line.startswith(("from ", "import ", " ", ")"))
            for line in source.split("\n")
        )
        for source in sources
    )
    assert text.count('<details class="imports">') == expected


@each_lesson
def test_a_picture_says_what_it_shows(site, notebook):
    text = (site / "learn" / f"{notebook.stem}.html").read_text("utf-8")
    assert "No description" not in text


def test_shown_source_leads_to_the_tour(pages, site):
    page = pages[site / "learn" / "03_paged_memory.html"]
    shown = '<a href="../tour/05_checksum.html" title="This file in the tour"><code>'
    assert page.text.count(shown) == 1
    assert "../tour/03_block_manager.html" in page.links, "and links to files of the package"
    for path, page in pages.items():
        for link in page.links:
            if path.parent.name == "learn" and link.startswith("../tour/"):
                assert (ROOT / "docs" / link.removeprefix("../")).with_suffix(".md").exists()
