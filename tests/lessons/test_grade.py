"""Grading: what is taken from a notebook, and that no answer can stop the others."""

import json
import re
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nanovllm_edu.cli.main import main
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.lessons import grade as grading
from nanovllm_edu.lessons.grade import answer_of, grade
from nanovllm_edu.lessons.registry import exercises_of, find, lessons

SLOTS = """\
def slot_mapping(block_table, start, num_tokens, block_size):
    return [slot(block_table, p, block_size) for p in range(start, start + num_tokens)]"""
HELPERS = """\
import math
SOMETHING = [1, 2]
total = print_and_count()
def slot(block_table, position, block_size):
    return block_table[position // block_size] * block_size + position % block_size
raise RuntimeError("this cell is not run")"""


def notebook_with(*answers, others=()):
    """A lesson in which each answer is (exercise id, source)."""
    cells = [new_code_cell(source) for source in others]
    for exercise_id, source in answers:
        cell = new_code_cell(source)
        cell.metadata["tags"] = [f"exercise:{exercise_id}"]
        cells.append(cell)
    return new_notebook(cells=cells)


def verdict_on(source, tmp_path, exercise_id="03.1", timeout=60.0, **options):
    path = tmp_path / "03_paged_memory.ipynb"
    nbformat.write(notebook_with((exercise_id, source), **options), path)
    return grading._verdict(find(exercise_id), path, seed=7, timeout=timeout)


def test_an_answer_may_use_what_is_defined_elsewhere(tmp_path):
    verdict, message = verdict_on(SLOTS, tmp_path, others=[HELPERS, "%matplotlib inline"])
    assert verdict == "right", message


def test_only_imports_definitions_and_literals_are_taken():
    source = answer_of(notebook_with(("03.1", SLOTS), others=[HELPERS]), "03.1")
    assert "def slot(" in source
    assert "import math" in source
    assert "SOMETHING = [1, 2]" in source
    assert "print_and_count" not in source
    assert "raise" not in source


@pytest.mark.parametrize(
    "source, verdict, words",
    [
        ("def slot_mapping(a, b, c, d):\n    ...", "empty", "Nothing is written yet"),
        ("def slot_mapping(a, b, c, d):\n    return []", "wrong", "must give 3 slots"),
        ("def slot_mapping(a, b, c, d):\n    [].append(1)", "wrong", "without a `return`"),
        ("def slot_mapping(a, b):\n    return []", "wrong", "takes 2 positional arguments"),
        ("def another(): pass", "wrong", "defines no `slot_mapping`"),
        ("def slot_mapping(:", "wrong", "SyntaxError"),
        ("1 / 0", "wrong", "ZeroDivisionError"),
        ("import sys; sys.exit()", "wrong", "ends the program"),
        ("import os; os._exit(3)", "crash", "status 3"),
    ],
)
def test_every_end_is_a_verdict(source, verdict, words, tmp_path):
    got, message = verdict_on(source, tmp_path)
    assert got == verdict
    assert words in message


@pytest.mark.parametrize(
    "source",
    [
        "while True: print('x' * 1000)",
        "import itertools\nsum(itertools.count())",
        "import subprocess\nsubprocess.run(['sleep', '100'])",
    ],
)
def test_what_never_ends_is_ended(source, tmp_path):
    begin = time.monotonic()
    assert verdict_on(source, tmp_path, timeout=4.0)[0] == "timeout"
    assert time.monotonic() - begin < 10


def test_a_folder_is_graded_on_one_seed(tmp_path, monkeypatch, capsys):
    path = tmp_path / "03_paged_memory.ipynb"
    nbformat.write(notebook_with(("03.1", SLOTS), others=[HELPERS]), path)
    (tmp_path / "05_prefix_caching.ipynb").write_text("no JSON", encoding="utf-8")
    monkeypatch.setattr(grading, "lessons", lambda: ["03", "05"])
    assert main(["grade", str(tmp_path), "--json", "--seed", "11"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["right"], report["of"], report["seed"]) == (1, 4, 11)
    verdicts = {each["exercise"]: each["verdict"] for each in report["exercises"]}
    assert verdicts == {"03.1": "right", "03.2": "missing", "05.1": "missing", "05.2": "missing"}
    assert main(["grade", str(tmp_path)]) == 0
    assert "1 of 4 right (seed 0)" in capsys.readouterr().out


def test_a_folder_without_lessons_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="holds no lesson"):
        grade(tmp_path)
    assert main(["grade", str(tmp_path)]) == 2
    assert "give the folder" in capsys.readouterr().err
    assert main(["grade", str(tmp_path), "--timeout", "0"]) == 2


TEACH = (Path(__file__).parents[2] / "docs" / "learn" / "teach.md").read_text("utf-8")


def test_the_teachers_page_knows_every_exercise():
    for lesson in lessons():
        for exercise in exercises_of(lesson):
            row = f"| {exercise.exercise_id} | {exercise.title} | {exercise.level} |"
            assert row in TEACH, row


def test_every_lesson_has_its_week():
    weeks = re.findall(r"^\| \d \| ([\d, ]+) \|", TEACH, re.MULTILINE)
    planned = [lesson for week in weeks for lesson in week.split(", ")]
    assert planned == [f"{number:02}" for number in range(20)]
