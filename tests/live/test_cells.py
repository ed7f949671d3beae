"""Cells of a lesson run in a page's Python: here without the page."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nanovllm_edu.live.cells import Cells, answer, stand_ins

ROOT = Path(__file__).parents[2]
LESSONS = ("06", "08", "12", "13")


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Cells:
    """With what stands in for matplotlib and the widgets; nothing of it stays."""
    for name, module in stand_ins().items():
        monkeypatch.setitem(sys.modules, name, module)
    return Cells()


def code_cells(number: str) -> list[tuple[int, dict[str, Any]]]:
    [notebook] = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    found = enumerate(json.loads(notebook.read_text("utf-8"))["cells"])
    return [(index, cell) for index, cell in found if cell["cell_type"] == "code"]


@pytest.mark.parametrize("number", LESSONS)
def test_every_cell_of_a_lesson_runs_and_shows_what_the_notebook_shows(cells: Cells, number: str):
    for index, cell in code_cells(number):
        outputs = cells.run(index, "".join(cell["source"]))
        assert json.loads(json.dumps(outputs)) == outputs
        assert not [output for output in outputs if output["kind"] == "error"], outputs
        stored = [output for output in cell["outputs"] if output["output_type"] != "error"]
        if "hint(" not in cell["source"][0]:  # stored without its output
            assert len(outputs) == len(stored), f"cell {index}"


@pytest.mark.parametrize("number", ["06", "12"])
def test_solutions_pass_the_checks(cells: Cells, number: str):
    solution = ROOT / "tests" / "lessons" / "solutions" / f"lesson_{number}.py"
    for index, cell in code_cells(number):
        source = "".join(cell["source"])
        if not source.startswith("check("):
            cells.run(index, source)
            continue
        name = source.partition(", ")[2].rstrip(")")
        assert cells.run(0, solution.read_text("utf-8")) == []
        [output] = cells.run(index, f"print(bool({source.strip()}), {name!r})")
        assert output["text"] == f"True {name}\n"


def test_prints_values_and_displays_come_in_their_order(cells: Cells):
    source = "print('a')\ndisplay(1, 2)\nprint('b')\nNone\n3"
    assert [output["text"] for output in cells.run(1, source)] == ["a\n", "1", "2", "b\n", "3"]
    assert cells.run(2, "x = 1") == cells.run(3, "") == cells.run(4, "None") == []


def test_an_error_begins_at_the_readers_line_and_the_names_stay(cells: Cells):
    cells.run(1, "def fail():\n    return 1 / 0")
    *_, error = cells.run(2, "y = 5\nprint('so far')\nfail()")
    assert error["kind"] == "error"
    assert error["text"].splitlines()[1] == '  File "<cell 2>", line 3, in <module>'
    assert "return 1 / 0" in error["text"] and "cells.py" not in error["text"]
    assert cells.run(3, "y")[0]["text"] == "5"


@pytest.mark.parametrize("source", ["exit()", "raise KeyboardInterrupt", "1 +", "raise SystemExit"])
def test_whatever_ends_a_cell_ends_only_the_cell(cells: Cells, source: str):
    assert cells.run(1, source)[-1]["kind"] == "error"
    assert cells.run(2, "1")[0]["text"] == "1"


def test_a_bet_is_picked_and_settled(cells: Cells):
    cells.run(1, "from nanovllm_edu.lessons import predict\nbet = predict('How many?', 1, 2)")
    [shown] = json.loads(answer(cells, "run", '{"number": 2, "source": "bet"}'))
    assert (shown["kind"], shown["options"], shown["picked"]) == ("prediction", ["1", "2"], None)
    assert answer(cells, "pick", json.dumps({"bet": shown["bet"], "option": "2"})) == "null"
    [settled] = cells.run(3, "bet.reveal(2, because='<b>')")
    assert "As you predicted" in settled["html"] and "&lt;b&gt;" in settled["html"]


def test_a_loop_in_an_answer_is_stopped_and_told(cells: Cells):
    cells.run(1, "from nanovllm_edu.lessons import check")
    cells.run(2, "def idle_share(records, num_rows):\n    while True:\n        pass")
    [output] = cells.run(3, "check('06.2', idle_share)")
    assert "was stopped after" in output["html"] and "at line" in output["html"]
