"""Runs lessons up to their last live view and keeps the recordings: a page cannot show widgets.

    python docs/hooks/perform_lesson.py OUT_FOLDER notebooks/05_prefix_caching.ipynb ...

For each notebook OUT_FOLDER gets a JSON file that maps the index of each cell with a view to the
page of its recording and the recording's JSON. Each lesson runs in a process of its own, as in
Jupyter. They are forked from one that has imported the large libraries already, which is most of
the work.
"""

import json
import os
import sys
from contextlib import chdir, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HOME = "../../index.html"
"""From the page of a recording to the site's first."""
VIEWS = ("StepViewer(", "StepPlayer(")
LIBRARIES = ["torch", "transformers", "matplotlib.pyplot", "anywidget", "IPython", "nanovllm_edu"]


def view_cells(notebook: dict[str, Any]) -> dict[int, str]:
    """Index of each cell that shows a live view -> how its stored output describes it."""
    return {
        index: text
        for index, cell in enumerate(notebook["cells"])
        for output in cell.get("outputs", ())
        if (text := "".join(output.get("data", {}).get("text/plain", ""))).startswith(VIEWS)
    }


def perform(path: Path) -> dict[int, tuple[str, str]]:
    """Cell index -> page and recording, for every live view of a notebook."""
    from IPython.core.interactiveshell import InteractiveShell

    notebook = json.loads(path.read_text("utf-8"))
    expected, made = view_cells(notebook), {}
    titles = titles_of(notebook)
    shell = InteractiveShell.instance()
    for index, cell in enumerate(notebook["cells"][: max(expected, default=-1) + 1]):
        if cell["cell_type"] == "code":
            done = shell.run_cell("".join(cell["source"]))
            if index in expected:
                done.raise_error()
                check(done.result, expected[index], f"{path.name}, cell {index}")
                made[index] = shown_by(done.result, titles[index])
    return made


def check(view: object, stored: str, where: str) -> None:
    """What is embedded is what the stored output speaks of."""
    if repr(view) != stored:
        raise ValueError(
            f"{where} shows {view!r}, but its stored output says {stored}: run the notebook again "
            "and store it."
        )


def title_of(notebook: dict[str, Any]) -> str:
    """The first heading."""
    return "".join(notebook["cells"][0]["source"]).split("\n")[0].lstrip("# ")


def titles_of(notebook: dict[str, Any]) -> dict[int, str]:
    """Index of each cell with a live view -> its title; a number tells two of a lesson apart."""
    title, indices = title_of(notebook), list(view_cells(notebook))
    if len(indices) == 1:
        return {indices[0]: title}
    return {index: f"{title}, view {number}" for number, index in enumerate(indices, 1)}


def shown_by(view: Any, title: str) -> tuple[str, str]:
    """A viewer's page and its recording's JSON; what a player has queued is run to its end."""
    from nanovllm_edu.introspect.storage import to_json
    from nanovllm_edu.introspect.view import encode_view
    from nanovllm_edu.viewer.page import to_page

    if hasattr(view, "recorder"):
        for _ in view.recorder.run(depth=0):
            pass
        recording, level = view.recording, view.viewer.level
    else:  # its `recording` is what a browser gets
        recording, level = view._recording, view.level
    return to_page(encode_view(recording), title, HOME, level), to_json(recording)


def save(folder: Path, notebook: Path) -> None:
    """Performs one notebook, silently, where it lies."""
    with chdir(notebook.parent), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        made = perform(notebook)
    (folder / f"{notebook.stem}.json").write_text(json.dumps(made), "utf-8")


def main() -> None:
    """Performs all notebooks of the command line, two at a time."""
    folder, *notebooks = (Path(name).resolve() for name in sys.argv[1:])
    # Lesson 04 runs GPU kernels on the CPU and says so before it imports them; here the import is
    # already done when it begins.
    os.environ |= {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}
    context = get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with context.Pool(2, maxtasksperchild=1) as pool:
        for _ in pool.imap_unordered(partial(save, folder), notebooks):
            pass


if __name__ == "__main__":
    main()
