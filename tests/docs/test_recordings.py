"""Pages of recordings: what they hold, who shows them, and the file beside each."""

import json
import re

import pytest

from nanovllm_edu.introspect import load
from nanovllm_edu.introspect.codec import encode
from nanovllm_edu.introspect.view import encode_view
from tests.docs.site_pages import NOTEBOOKS, ROOT, Page

RECORDINGS = ("shared_prompt", "preemption", "chunked_mixed", "chunked_phases", "eviction")
VIEWS = ("StepViewer(", "StepPlayer(")


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_are_embedded_and_self_contained(site, pages, name):
    text = (site / "watch" / "recordings" / f"{name}.html").read_text("utf-8")
    assert "default-src 'none'" in text, "the page's policy forbids it to load anything"
    assert '"format":"nanovllm-edu view"' in text
    frames = [frame["src"] for parsed in pages.values() for frame in parsed.frames]
    assert any(src.endswith(f"recordings/{name}.html") for src in frames), "nobody shows it"


def test_what_a_page_holds_is_the_view_of_the_recording_beside_it(site, recorded):
    assert len(recorded) > len(NOTEBOOKS), "lessons have theirs, too"
    for path, recording in recorded.items():
        data = path.read_text("utf-8").split('id="recording">')[1].split("</script>")[0]
        assert json.loads(data) == encode_view(recording), path.relative_to(site)


def test_every_file_of_a_recording_has_its_page(site, recorded):
    files = {path.with_suffix("").with_suffix(".html") for path in site.rglob("*.json.gz")}
    assert files == recorded.keys()


def test_under_every_frame_are_links_to_its_page_and_its_file(pages):
    for path, page in pages.items():
        for frame in page.frames:
            for link in (frame["src"], frame["src"].removesuffix("html") + "json.gz"):
                assert link in page.links, f"{path.name}: {link}"


def test_the_gpu_recording_of_the_site_is_the_stored_one(site, recorded):
    path = ROOT / "benchmarks" / "results" / "gpu_run.json.gz"
    if not path.exists():
        pytest.skip("no GPU run is recorded")
    assert recorded[site / "watch" / "recordings" / "gpu_run.html"] == load(path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_where_a_lesson_shows_a_view_its_page_shows_that_recording(site, recorded, notebook):
    text = (site / "learn" / f"{notebook.stem}.html").read_text("utf-8")
    shown = re.split(r'<div class="jp-Cell jp-CodeCell[^>]* id=', text)[1:]
    cells = [c for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"]
    assert len(shown) == len(cells)
    for cell, html in zip(cells, shown, strict=True):
        stored = "".join(
            "".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]
        )
        frames = [frame["src"] for frame in Page(html).frames]
        assert len(frames) == stored.startswith(VIEWS), "".join(cell["source"])
        for frame in frames:
            recording = recorded[site / "learn" / frame]
            if stored.startswith("StepViewer("):
                assert f"StepViewer({recording!r})" == stored
            else:  # a live engine: what was queued has been run to its end
                assert len(recording) > 0
                assert not recording.state_at(len(recording) - 1).running


def test_a_gpu_run_is_shown_or_said_to_be_missing(site):
    text = (site / "watch" / "gpu.html").read_text("utf-8")
    is_there = (ROOT / "benchmarks" / "results" / "gpu_run.json.gz").exists()
    assert ("recordings/gpu_run.html" in text) == is_there
    assert ("Not recorded yet" in text) != is_there


def test_the_format_page_names_every_key_of_a_recording(recorded):
    page = (ROOT / "docs" / "reference" / "recording_format.md").read_text("utf-8")
    keys: set[str] = set()
    for recording in recorded.values():
        for document in (encode(recording), encode_view(recording)):
            keys |= document.keys() | document["initial"].keys()
            keys |= document["initial"].get("state", {}).keys()
            for entry in document["journal"]:
                keys |= entry.keys() | entry.get("add", {}).keys() | entry.get("state", {}).keys()
            for frame in document.get("frames", {}).values():
                keys |= frame.keys()
    assert not [
        key for key in sorted(keys) if f"`{key}`" not in page and f"**`{key}`**" not in page
    ]
