"""A recording as one HTML page with the linked view: no kernel, no network, opens from disk.

Read next: `viewer/page.py`, which makes the page.
"""

from pathlib import Path

from nanovllm_edu.introspect.codec import encode
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.whole_file import write_whole
from nanovllm_edu.viewer.page import to_page


def to_html(
    recording: Recording, path: str | Path, title: str = "A recorded run of nanovllm-edu"
) -> Path:
    """Writes the page and returns its path."""
    return write_whole(path, to_page(encode(recording), title))
