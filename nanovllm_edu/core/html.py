"""Small HTML tables for `_repr_html_`: escaped, and readable in light and dark themes.

Colours come from the CSS variables of VS Code, Colab or JupyterLab, with fallbacks for other pages.
It knows nothing of what it shows.
"""

from collections.abc import Iterable
from html import escape


def _first_of(*names: str, fallback: str) -> str:
    """The first of some CSS variables that is there."""
    return "".join(f"var(--{name}," for name in names) + fallback + ")" * len(names)


INK = _first_of(
    "vscode-editor-foreground", "colab-primary-text-color", "jp-content-font-color1",
    fallback="inherit",
)  # fmt: skip
FAINT_INK = _first_of(
    "vscode-descriptionForeground", "colab-secondary-text-color", "jp-content-font-color2",
    fallback="inherit",
)  # fmt: skip
LINE = _first_of("vscode-panel-border", "colab-border-color", "jp-border-color2", fallback="#8886")
GOOD = _first_of("vscode-testing-iconPassed", "jp-success-color1", fallback="#2e7d32")
BAD = _first_of("vscode-errorForeground", "jp-error-color1", fallback="#c62828")
_FONT = "font-family:" + _first_of(
    "vscode-editor-font-family", "jp-code-font-family", fallback="monospace"
)
# Above the table and not its caption: that would be as narrow as the table, one word a line.
_TITLE = f"{_FONT};font-size:12px;font-weight:600;color:{INK};padding:2px 0"
_TABLE = f"{_FONT};font-size:12px;border-collapse:collapse;color:{INK};margin:2px 0 4px"
_CELL = (
    f"border:1px solid {LINE};padding:2px 8px;text-align:left;"
    "vertical-align:top;white-space:pre-wrap;background:transparent"
)


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """One table under its title; every cell is escaped. Without rows it is the title alone."""
    heading = f'<div style="{_TITLE}">{escape(title)}</div>'
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    if not body:
        return heading
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in header)
    return (
        f'{heading}<table style="{_TABLE}" aria-label="{escape(title)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def paragraph(text: str) -> str:
    """One escaped line under a table."""
    return f'<div style="font-size:12px;color:{FAINT_INK}">{escape(text)}</div>'
