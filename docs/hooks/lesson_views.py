"""Puts the recording in the place of every live view of a lesson.

The lessons are run for it (`perform_lesson.py`), and only up to the last view; what comes out is
kept in .cache/site until the lesson or the engine changes.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from embedding import CACHE, fingerprint, frame
from perform_lesson import title_of, view_cells

SCRIPT = Path(__file__).with_name("perform_lesson.py")
PLAYER = (
    "<p>In the notebook this is a live engine with buttons. Here is its run to the end, to step "
    "through.</p>\n"
)


def perform_all(notebooks: list[Path]) -> dict[Path, dict[int, list[str]]]:
    """Notebook -> cell index -> page of the recording that the cell shows, and its JSON."""
    shown = [path for path in notebooks if view_cells(json.loads(path.read_text("utf-8")))]
    stale = [path for path in shown if not _stored(path).exists()]
    if stale:
        _perform(stale)
    made = {path: json.loads(gzip.decompress(_stored(path).read_bytes())) for path in shown}
    return {
        path: {int(index): pair for index, pair in made.get(path, {}).items()} for path in notebooks
    }


def page_name(notebook: Path, index: int) -> str:
    """Where the recording of a cell lies in the site."""
    return f"learn/recordings/{notebook.stem}_{index}.html"


def embedded(path: Path) -> Path:
    """A copy of the notebook in which frames stand where views stood."""
    notebook = json.loads(path.read_text("utf-8"))
    title = title_of(notebook)
    for index, text in view_cells(notebook).items():
        url = page_name(path, index).removeprefix("learn/")
        is_player = text.startswith("StepPlayer")
        what = "a live engine, run to its end" if is_player else text[text.index("(") + 1 : -1]
        html = PLAYER * is_player + frame(url, f"{title}: {what}")
        notebook["cells"][index]["outputs"] = [
            {"output_type": "display_data", "data": {"text/html": html}, "metadata": {}}
        ]
    copy = CACHE / "lessons" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(json.dumps(notebook), "utf-8")
    return copy


def _stored(notebook: Path) -> Path:
    return CACHE / f"lesson_{notebook.stem}-{fingerprint(notebook, SCRIPT)}.json.gz"


def _perform(notebooks: list[Path]) -> None:
    """Runs them, and keeps what came out."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(SCRIPT), folder, *map(str, notebooks)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the lessons could not be run:\n{done.stderr[-3000:]}")
        for notebook in notebooks:
            for old in CACHE.glob(f"lesson_{notebook.stem}-*"):
                old.unlink(missing_ok=True)
            made = (Path(folder) / f"{notebook.stem}.json").read_bytes()
            _stored(notebook).parent.mkdir(parents=True, exist_ok=True)
            _stored(notebook).write_bytes(gzip.compress(made))
