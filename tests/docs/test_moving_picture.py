"""The moving picture is a real run, small, calm where calm is wanted, and in both themes."""

import re
import runpy
import xml.etree.ElementTree as ElementTree

import pytest

from tests.docs.site_pages import ROOT

PICTURE = ROOT / "docs" / "assets" / "moving.svg"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs" / "moving_picture.py"))


@pytest.fixture(scope="module")
def recording(script):
    return script["record"]()


def test_the_stored_picture_is_what_the_engine_does_today(script, recording):
    assert PICTURE.read_text("utf-8") == script["draw"](recording)


def test_the_run_shows_what_its_words_promise(recording):
    kinds = {type(event).__name__ for record in recording for event in record.events}
    assert {"PrefixHit", "Preempted", "BlockEvicted", "Finished"} <= kinds
    shared = [
        b for k in range(len(recording)) for b in recording.state_at(k).blocks if b.ref_count > 1
    ]
    assert shared


def test_it_holds_every_answer_whole(script, recording):
    root = ElementTree.fromstring(PICTURE.read_text("utf-8"))
    lines = [
        "".join(element.itertext()).replace(" ", "")
        for element in root.iter()
        if element.tag.endswith("}text")
    ]
    for seq_id in recording.requests:
        answer = "".join(piece for _, piece in script["answer"](recording, seq_id))
        assert answer.endswith(".") and answer.replace(" ", "") in lines


def test_it_is_small_follows_the_theme_and_can_rest():
    text = PICTURE.read_text("utf-8")
    assert len(text) < 300_000
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion: reduce" in text
    assert "<script" not in text and "http" not in text.replace(
        'xmlns="http://www.w3.org/2000/svg"', ""
    )
    names = set(re.findall(r"@keyframes (\S+?)\{", text))
    assert names == set(re.findall(r"animation:(\S+) [\d.]+s step-end infinite", text))
    used = set(re.findall(r'class="(?:\w+ )?(at\d+-\d+)', text))
    assert used and {name.replace("k", "at") for name in names} >= used


def test_the_readme_begins_with_it():
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.index("docs/assets/moving.svg") < text.index("nanovllm-edu is a small LLM")
