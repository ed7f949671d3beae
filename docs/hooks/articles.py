"""A rendered notebook reads as an article: what only a notebook needs is folded, hidden or gone.

- Cells of nothing but imports are folded.
- Code and what it printed are left out of the site's search, which is for words.
- The source that a cell shows leads to the stop of the tour that explains its file.
- A plot becomes part of the page, so that it takes the page's colours and can be read aloud.
"""

import ast
import re
from base64 import b64decode

from bs4 import BeautifulSoup, Tag
from source import tour_stops

PLACE = re.compile(r"nanovllm_edu/(\S+\.(?:py|c))(?: · .+)?")
SVG = "data:image/svg+xml;base64,"


def on_page_content(html, page, **_):
    """Mends the pages of notebooks."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    soup = BeautifulSoup(html, "html.parser")
    for name in (".jp-InputPrompt", ".jp-OutputPrompt", ".jp-Collapser"):
        for element in soup.select(name):
            element.decompose()
    for link in soup.select("a.anchor-link"):
        link["class"] = "headerlink"  # the theme's own, which its search knows
    for cell in soup.select(".jp-CodeCell .jp-CodeCell"):
        _fold_imports(cell, soup)
        for place in cell.select(".jp-RenderedMarkdown > p > code"):
            _lead_to_tour(place, soup)
        # A <section>, because the search forgets at the first </div> that a <div> is left out.
        cell.wrap(soup.new_tag("section", attrs={"data-search-exclude": ""}))
    for picture in soup.select(f'img[src^="{SVG}"]'):
        svg = b64decode(picture["src"].removeprefix(SVG)).decode()
        picture.replace_with(BeautifulSoup(svg, "html.parser"))
    return str(soup)


def _fold_imports(cell: Tag, soup: BeautifulSoup) -> None:
    source, shown = cell.select_one(".clipboard-copy-txt"), cell.select_one(".jp-Cell-inputWrapper")
    if source and shown and is_only_imports(source.get_text()):
        fold = shown.wrap(soup.new_tag("details", attrs={"class": "imports"}))
        summary = soup.new_tag("summary")
        summary.string = "Imports"
        fold.insert(0, summary)


def is_only_imports(source: str) -> bool:
    """Whether a cell does nothing but bring names in."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # IPython's magic
        return False
    return bool(body) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def _lead_to_tour(place: Tag, soup: BeautifulSoup) -> None:
    match = PLACE.fullmatch(place.get_text())
    stop = match and tour_stops().get(match[1])
    if stop:
        place.wrap(soup.new_tag("a", href=f"../tour/{stop}.html", title="This file in the tour"))
