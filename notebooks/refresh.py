"""Runs notebooks and stores their outputs, tidied so that equal runs give equal files.

    python notebooks/refresh.py notebooks/03_paged_memory.ipynb

Left out: execution times, cell ids that change, the ids of live widgets (a stored notebook shows
their text instead, and becomes live when its cells are run), and hints, for which one has to ask.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def tidy(notebook):
    """Removes what differs from run to run."""
    kept = ("tags", "jupyter", "cellView")  # the last two fold a cell that reveals an answer
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata = {key: cell.metadata[key] for key in kept if key in cell.metadata}
        if "outputs" in cell:
            is_hint = cell.source.startswith("hint(")
            cell.outputs = [] if is_hint else joined(cell.outputs)
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
            if "metadata" in output:
                output["metadata"] = {}


def joined(outputs):
    """What is printed arrives in pieces, cut by the clock: makes one output of neighbours."""
    whole = []
    for output in outputs:
        last = whole[-1] if whole else {}
        if output.output_type == "stream" and output.name == last.get("name"):
            last.text += output.text
        else:
            whole.append(output)
    return whole


def refresh(path):
    """Runs one notebook in its own folder and writes it back."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, resources={"metadata": {"path": str(path.parent)}}, timeout=120
    ).execute()
    tidy(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar that appears on slow machines only
    for name in sys.argv[1:]:
        print(name)
        refresh(Path(name))
