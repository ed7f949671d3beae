"""A recording as one HTML page with the linked view: no kernel, no network, opens from disk.

Read next: `viewer/page.py`, which makes the page.
"""

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.introspect.whole_file import write_whole
from nanovllm_edu.viewer.page import to_page


def to_html(
    recording: Recording,
    path: str | Path,
    title: str = "A run of nanovllm-edu, step by step",
    level: str = "everything",
) -> Path:
    """Writes the page and returns its path.

    Args:
        recording: What to show.
        path: A file; it is replaced whole or not at all.
        title: The page's heading.
        level: What is shown at first: "basic", "why" or "everything".
    """
    return write_whole(path, to_page(encode_view(recording), title, homepage(), level))


def homepage() -> str:
    """Where the installed package says that it lives; empty if it does not."""
    try:
        urls = metadata("nanovllm-edu").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Homepage", "")
