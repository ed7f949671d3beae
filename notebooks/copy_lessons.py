"""Copies the lessons into my_lessons/, without outputs; `make lab` opens the copies.

There one can write and predict freely: no answer is shown before its cell is run, and the lessons
themselves stay as they are. A copy that is there already is kept. So is `progress.json`, in which the
lessons note what was solved, and which holds a number that tells learners apart.
"""

import json
import secrets
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent
COPIES = NOTEBOOKS.parent / "my_lessons"


def copy_lessons(folder=COPIES):
    """Copies what is missing in `folder`; returns the new files."""
    folder.mkdir(exist_ok=True)
    missing = [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if not (folder / p.name).exists()]
    for path in missing:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / path.name)
    progress = folder / "progress.json"
    if not progress.exists():
        progress.write_text(json.dumps({"learner": secrets.randbelow(10**6)}) + "\n", "utf-8")
    return [folder / path.name for path in missing]


if __name__ == "__main__":
    for path in copy_lessons():
        print(f"{path.relative_to(Path.cwd())} is your copy; delete it to get a fresh one")
