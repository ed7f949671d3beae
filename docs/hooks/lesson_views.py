"""Puts the recording in the place of every live view of a lesson.

The lessons are run for it, two at a time, each in a process of its own, and only up to the last
view; what comes out is kept in .cache/site until the lesson or the engine changes.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from embedding import CACHE, cached, fingerprint, frame
from perform_lesson import title_of, view_cells

SCRIPT = Path(__file__).with_name("perform_lesson.py")
PLAYER = (
    "<p>In the notebook this is a live engine with buttons. Here is its run to the end, to step "
    "through.</p>\n"
)


def perform_all(notebooks: list[Path]) -> dict[Path, dict[int, str]]:
    """Notebook -> cell index -> page of the recording that the cell shows."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(notebooks, pool.map(_pages, notebooks), strict=True))


def page_name(notebook: Path, index: int) -> str:
    """Where the recording of a cell lies in the site."""
    return f"learn/recordings/{notebook.stem}_{index}.html"


def embedded(path: Path) -> Path:
    """A copy of the notebook in which frames stand where views stood."""
    notebook = json.loads(path.read_text("utf-8"))
    title = title_of(notebook)
    for index, text in view_cells(notebook).items():
        url = page_name(path, index).removeprefix("learn/")
        html = frame(url, f"{title}: {text[text.index('(') + 1 : -1]}")
        html = PLAYER + html if text.startswith("StepPlayer") else html
        notebook["cells"][index]["outputs"] = [
            {"output_type": "display_data", "data": {"text/html": html}, "metadata": {}}
        ]
    copy = CACHE / "lessons" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(json.dumps(notebook), "utf-8")
    return copy


def _pages(notebook: Path) -> dict[int, str]:
    if not view_cells(json.loads(notebook.read_text("utf-8"))):
        return {}
    key = fingerprint(notebook, SCRIPT)
    pages = cached(f"lesson_{notebook.stem}", key, lambda: _perform(notebook))
    return {int(index): page for index, page in pages.items()}


def _perform(notebook: Path) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "pages.json"
        command = [sys.executable, str(SCRIPT), str(notebook), str(target)]
        threads = os.environ | {"OMP_NUM_THREADS": "1"}  # two lessons at a time
        done = subprocess.run(command, capture_output=True, text=True, env=threads)
        if done.returncode:
            raise RuntimeError(f"{notebook.name} could not be run:\n{done.stderr[-2000:]}")
        return json.loads(target.read_text("utf-8"))
