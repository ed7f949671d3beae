"""Makes a page of a lesson's notebook: its text as HTML, its cells as editors, each with a button.

The cells are run by the page's own Python (`cells_worker.js`), so nothing has to be installed. The
page loads from its own folder only, and says so in its content security policy. Styles may be
inline, because tables and messages of the package carry theirs.
"""

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from markdown import markdown

ROOT = Path(__file__).parents[2]
LESSONS = ("06", "08", "12", "13", "17", "18")
"""Those that need no model and no torch."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; \
script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
img-src 'self' data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · nanovllm-edu</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="viewer.css">
<link rel="stylesheet" href="lesson.css">
<script type="module" src="lesson.js"></script>
</head>
<body data-lesson="{number}">
<script src="theme.js"></script>
<header>
<p><a href="../index.html">nanovllm-edu</a> · \
<a href="../learn/{stem}.html">this lesson to read</a></p>
<p id="status" role="status">Python has not started. From a disk it cannot: serve the folder, \
<code>python -m http.server -d site</code></p>
<button id="stop" type="button" disabled>Stop</button>
</header>
<main>
<noscript><p>The cells of this page are run by JavaScript, which is switched off.</p></noscript>
<p class="note">The real engine, in your browser: nothing to install, and nothing leaves this
page. Change any cell; <b>Run</b> or Ctrl+Enter runs it, after the cells above it that have not been
run. What you write is kept in this browser.</p>
{cells}
</main>
</body>
</html>
"""
CELL = """<section class="cell" data-cell="{index}"{aside}>
{source}
<p class="buttons"><button type="button" class="run">Run</button> \
<button type="button" class="reset" hidden>Reset</button></p>
<div class="outputs" aria-live="polite"></div>
</section>"""
EDITOR = (
    '<textarea rows="{rows}" spellcheck="false" autocapitalize="off" autocomplete="off" '
    'aria-label="{name}">{source}</textarea>'
)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
EXTENSIONS = ["tables", "fenced_code", "sane_lists"]
AN_ASIDE = ("check(", "hint(")
"""Cells on which no other one leans: they are run when somebody wants them."""


def write_pages(folder: Path) -> None:
    """Writes the pages of all lessons that can be run in a browser."""
    for number in LESSONS:
        [notebook] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        (folder / f"lesson_{number}.html").write_text(page(number, notebook), "utf-8")


def page(number: str, notebook: Path) -> str:
    """A notebook as a page."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
    return PAGE.format(
        title=escape(title), number=number, stem=notebook.stem, cells="\n".join(_cells(cells))
    )


def _cells(cells: list[dict[str, Any]]) -> Iterator[str]:
    for index, cell in enumerate(cells):
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown":
            yield markdown(
                LINK.sub(_link, source), extensions=["tables", "fenced_code", "sane_lists"]
            )
        else:
            yield _code_cell(index, source, tags)


def _code_cell(index: int, source: str, tags: list[str]) -> str:
    exercise = next((tag.partition(":")[2] for tag in tags if tag.startswith("exercise:")), "")
    name = f"Your answer to exercise {exercise}" if exercise else f"Cell {index}"
    rows = source.count("\n") + 1
    editor = EDITOR.format(rows=rows, name=name, source=escape(source, quote=False))
    if "reveal" in tags:  # its `because` gives the answer away
        editor = f"<details><summary>The code of this answer</summary>\n{editor}\n</details>"
    is_aside = "reveal" in tags or source.startswith(AN_ASIDE)
    return CELL.format(index=index, source=editor, aside=' data-aside=""' if is_aside else "")


def _link(match: re.Match[str]) -> str:
    """Links between files become links between pages; a file without a page becomes text."""
    text, target = match.groups()
    path = PurePosixPath(target)
    if target.startswith("https:"):
        return match[0]
    if path.suffix == ".ipynb":
        return f"[{text}](../learn/{path.stem}.html)"
    if path.suffix == ".md" and path.is_relative_to("../docs"):
        return f"[{text}](../{path.relative_to('../docs').with_suffix('.html')})"
    return text
