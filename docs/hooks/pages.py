"""What every page goes through: names for screen readers, no request to elsewhere, a glossary with
links to the lessons that show a term at work.
"""

import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TERM = re.compile(r"^\*\*(.+?)\*\*(?: \((\d\d(?:, \d\d)*)\))?$", re.MULTILINE)
FIXES = {
    '<div class="md-search" data-md-component="search" role="dialog">': (
        '<div class="md-search" data-md-component="search" role="dialog" aria-label="Search">'
    ),
    'class="md-source" data-md-component="source"': 'class="md-source"',
}
"""The theme's markup -> ours. The second one would ask the repository's host for its stars."""


def on_page_markdown(markdown, page, **_):
    """Terms of the glossary become anchors, and their numbers links to lessons."""
    return TERM.sub(_term, markdown) if page.file.src_uri == "glossary.md" else None


def on_post_page(output, **_):
    """Mends what the theme lacks."""
    for theirs, ours in FIXES.items():
        output = output.replace(theirs, ours)
    return output


def _term(match):
    term, numbers = match[1], match[2]
    anchor = re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")
    links = f" ({', '.join(map(_lesson, numbers.split(', ')))})" if numbers else ""
    return f'<span id="{anchor}"></span>**{term}**{links}'


def _lesson(number):
    notebook = next(NOTEBOOKS.glob(f"{number}_*.ipynb"), None)
    return f"[{number}](learn/{notebook.name})" if notebook else number
