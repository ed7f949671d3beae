"""Small HTML tables for `_repr_html_`: escaped, and readable in light and dark themes.

Colours come from JupyterLab's CSS variables, with fallbacks for other pages. It knows nothing of
what it shows.
"""

from collections.abc import Iterable
from html import escape

_STYLE = (
    "font-family:var(--jp-code-font-family,monospace);font-size:12px;border-collapse:collapse;"
    "color:var(--jp-content-font-color1,inherit);margin:4px 0"
)
_CELL = (
    "border:1px solid var(--jp-border-color2,#8886);padding:2px 8px;text-align:left;"
    "vertical-align:top;white-space:pre-wrap;background:transparent"
)


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """One table with a caption; every cell is escaped. Without rows it is the caption alone."""
    rows = list(rows)
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    caption = (
        '<caption style="caption-side:top;text-align:left;font-weight:600;padding:2px 0;'
        f'color:inherit">{escape(title)}</caption>'
    )
    parts = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>" if rows else ""
    return f'<table style="{_STYLE}">{caption}{parts}</table>'


def paragraph(text: str) -> str:
    """One escaped line under a table."""
    return (
        '<div style="font-size:12px;color:var(--jp-content-font-color2,inherit)">'
        f"{escape(text)}</div>"
    )
