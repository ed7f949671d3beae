"""Puts drawings into the page itself, where they follow its theme.

`![what it shows](assets/drawn/name.svg)` is an image wherever Markdown is read; on the site it
becomes a figure with the same words for those who do not see it.
"""

import re
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1]
IMAGE = re.compile(r"^!\[([^\]]+)\]\((?:\.\./)*(assets/drawn/\w+\.svg)\)$", re.MULTILINE)


def on_page_markdown(markdown, **_):
    """Replaces each image of a drawing."""
    return IMAGE.sub(lambda match: _figure(" ".join(match[1].split()), match[2]), markdown)


def _figure(words, name):
    svg = (DOCS / name).read_text("utf-8").strip()
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)
    return f'<figure class="drawn">\n<div class="scrolls">\n{svg}\n</div>\n</figure>'
