"""Recorded GPU figures: tables of whatever the file holds, and a sentence if it holds nothing."""

import json
import sys

import pytest

from nanovllm_edu.lessons import recorded

module = sys.modules["nanovllm_edu.lessons.recorded"]  # the function has the same name

FIGURES = {
    "machine": {"gpu": "Some GPU", "date": "2026-01-02", "engine": {"dtype": "bfloat16"}},
    "main": {"runs": [1.0, 2.0], "seconds": 1.5, "tokens_per_second": 1234.5},
    "small": {"1": {"ms": 2.0, "floor_ms": 0.5}, "64": {"ms": 4.0, "floor_ms": 1.0}},
    "records": {"kept": [1.0], "cost": 0.0123},
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(module, "RESULTS", path)
    module.results.cache_clear()
    yield path
    module.results.cache_clear()


def test_a_section_is_a_table_of_names_and_values(results):
    results.write_text(json.dumps(FIGURES))
    table = recorded("main")
    assert table.rows == (("time", "1.500 s"), ("generated tokens per second", "1,234"))
    assert repr(table).startswith("Recorded on Some GPU, 2026-01-02: 256 requests")
    assert "| time | 1.500 s |" in table._repr_markdown_()
    assert recorded("main", "tokens").rows == table.rows[1:]
    assert recorded("records").rows == (("more time", "1.2%"),)
    assert recorded("machine", "dtype").rows == (("dtype", "bfloat16"),)


def test_decode_steps_are_one_table(results):
    results.write_text(json.dumps(FIGURES))
    assert module.decode_steps() == {1: (2.0, 0.5), 64: (4.0, 1.0)}
    markdown = recorded("small")._repr_markdown_()
    assert "| sequences | time | floor | generated tokens per second |" in markdown
    assert "| 64 | 4.00 ms | 1.00 ms | 16,000 |" in markdown


def test_without_a_file_it_says_what_to_run(results):
    assert recorded("small").rows == ()
    assert "run benchmarks/gpu.py" in repr(recorded("main"))
    assert "run benchmarks/gpu.py" in recorded("main")._repr_markdown_()
