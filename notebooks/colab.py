"""Writes colab/: copies of the lessons that fetch the package when they are opened in Colab.

    python notebooks/colab.py https://github.com/OWNER/NAME

Once the repository has a public address, run this and commit colab/; a site that is built with
REPO_URL then has buttons that open its lessons there. A copy has no outputs, as those of `make lab`.
"""

import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent
COPIES = NOTEBOOKS.parent / "colab"
FETCH = """\
# @title Run this first: it fetches the package (outside of Colab it does nothing)
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 {address} /content/nanovllm-edu
    %pip install --quiet --editable "/content/nanovllm-edu[lab]"
    sys.path.insert(0, "/content/nanovllm-edu")
    from google.colab import output

    output.enable_custom_widget_manager()"""


def for_colab(path, address):
    """A lesson without outputs, behind a folded cell that fetches the package."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    fetch = nbformat.v4.new_code_cell(FETCH.format(address=address), id="fetch")
    fetch.metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
    notebook.cells.insert(1, fetch)  # below the title
    return notebook


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://github.com/"):
        sys.exit(__doc__)
    COPIES.mkdir(exist_ok=True)
    for lesson in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        nbformat.write(for_colab(lesson, sys.argv[1]), COPIES / lesson.name)
