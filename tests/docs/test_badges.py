"""Buttons that open a lesson elsewhere: only where it can be opened."""

import runpy

import nbformat
import pytest

from tests.docs.site_pages import NOTEBOOKS, ROOT

HOOK = runpy.run_path(str(ROOT / "docs" / "hooks" / "badges.py"))
COLAB = runpy.run_path(str(ROOT / "notebooks" / "colab.py"))
ADDRESS = "https://github.com/someone/nanovllm-edu"
LESSON = NOTEBOOKS[5].name


@pytest.mark.parametrize("url", ["", None, "https://example.org/nanovllm-edu"])
def test_without_github_there_are_no_buttons(url):
    assert HOOK["addresses"](url, LESSON) == {}


@pytest.mark.parametrize("url", [ADDRESS, f"{ADDRESS}/", f"{ADDRESS}.git"])
def test_binder_opens_the_learners_copy(url, tmp_path):
    places = HOOK["addresses"](url, LESSON, tmp_path)
    assert places == {
        "Open on Binder": "https://mybinder.org/v2/gh/someone/nanovllm-edu/main"
        f"?labpath=my_lessons%2F{LESSON}"
    }


def test_colab_opens_a_copy_if_there_is_one(tmp_path):
    (tmp_path / "colab").mkdir()
    (tmp_path / "colab" / LESSON).touch()
    place = HOOK["addresses"](ADDRESS, LESSON, tmp_path)["Open in Colab"]
    assert place.endswith(f"/github/someone/nanovllm-edu/blob/main/colab/{LESSON}")


def test_what_binder_installs_is_there():
    lines = (ROOT / ".binder" / "requirements.txt").read_text("utf-8").splitlines()
    assert "--editable .[lab]" in lines
    assert "--constraint ../constraints.txt" in lines
    assert (ROOT / "constraints.txt").exists()
    start = ROOT / ".binder" / "postBuild"
    assert start.stat().st_mode & 0o100, "it can be run"
    assert (ROOT / start.read_text("utf-8").split()[-1]).exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_copy_for_colab_fetches_the_package_first(path):
    copy, lesson = COLAB["for_colab"](path, ADDRESS), nbformat.read(path, as_version=4)
    nbformat.validate(copy)
    fetch, *others = [cell for cell in copy.cells if cell.cell_type == "code"]
    assert f"git clone --quiet --depth 1 {ADDRESS} " in fetch.source
    assert fetch.metadata["cellView"] == "form", "Colab folds it"
    code = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    assert [cell.source for cell in others] == code
    assert not any(cell.outputs for cell in others)


def test_outside_of_colab_the_first_cell_does_nothing():
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance().run_cell(COLAB["FETCH"].format(address=ADDRESS)).raise_error()
