"""The learner's copies: no outputs, links that still lead somewhere, and nothing overwritten."""

import runpy
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
copy_lessons = runpy.run_path(str(NOTEBOOKS / "copy_lessons.py"))["copy_lessons"]


def test_copies_give_no_answer_away_and_are_otherwise_equal(tmp_path):
    copies = copy_lessons(tmp_path / "mine")
    assert [path.name for path in copies] == sorted(p.name for p in NOTEBOOKS.glob("*.ipynb"))
    for copy in copies:
        lesson = nbformat.read(NOTEBOOKS / copy.name, as_version=4)
        cells = nbformat.read(copy, as_version=4).cells
        assert [cell.source for cell in cells] == [cell.source for cell in lesson.cells]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_a_copy_that_is_there_is_kept(tmp_path):
    mine = tmp_path / "00_start_here.ipynb"
    mine.write_text("my answers")
    assert mine not in copy_lessons(tmp_path)
    assert mine.read_text() == "my answers"
    assert copy_lessons(tmp_path) == []


def test_copies_lie_beside_the_lessons_so_that_links_hold():
    copies = runpy.run_path(str(NOTEBOOKS / "copy_lessons.py"))["COPIES"]
    assert copies.parent == NOTEBOOKS.parent
