"""`recorded`: what was measured on a GPU, for readers who have none.

    recorded("main")          a table of the recorded run

The figures are those of `benchmarks/results/gpu.json`, written by `benchmarks/gpu.py` on a real
GPU. This module only reads them; it measures nothing, and a new file changes what it shows.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CAPTIONS = {
    "main": "256 requests of 100 to 1,024 tokens in and out, a model of 0.6 billion parameters",
    "small": "one decode step of 1, 8, 32 and 128 sequences, a model of 0.6 billion parameters",
    "prefill": "the first token of 256 prompts, nothing cached",
    "prefix": "the first token of 256 prompts that share 1,024 cached tokens",
    "records": "the 256 requests again, keeping every StepRecord of the run",
    "machine": "what the engine chose at start",
}
"""What was measured, in words."""

UNITS = {
    "floor_fraction": ("share of the floor reached", "{:.0%}"),
    "floor_seconds": ("floor: time to read weights and caches once a step", "{:.2f} s"),
    "floor_ms": ("floor", "{:.2f} ms"),
    "tokens_per_second": ("generated tokens per second", "{:,.0f}"),
    "seconds": ("time", "{:.3f} s"),
    "ms": ("time", "{:.2f} ms"),
    "tokens": ("tokens computed", "{:,}"),
    "cost": ("more time", "{:z.1%}"),
}
"""Key in the file -> what to call it, and how to write its value."""

RESULTS = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "gpu.json"

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordedFigures:
    """One section of the recorded run as a table. Without `rows` it says how to measure them.

    Attributes:
        section: Its name in the file.
        machine: The GPU's name and the date.
        header: Names of the columns; all empty if rows are (name, value).
        rows: The cells, as text.
    """

    section: str
    machine: str
    header: Cells
    rows: tuple[Cells, ...]

    def __repr__(self) -> str:
        if not self.rows:
            return _nothing(self.section)
        table = [self.header, *self.rows] if any(self.header) else self.rows
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)
        return "\n  ".join([self._title, *lines])

    def _repr_markdown_(self) -> str:
        if not self.rows:
            return f"*{_nothing(self.section)}*"
        lines = [f"| {' | '.join(row)} |" for row in (self.header, *self.rows)]
        rule = f"|---|{'---:|' * (len(self.header) - 1)}"
        return "\n".join([f"{self._title}.", "", lines[0], rule, *lines[1:]])

    @property
    def _title(self) -> str:
        return f"Recorded on {self.machine}: {CAPTIONS.get(self.section, self.section)}"


def recorded(section: str, *keys: str) -> RecordedFigures:
    """The figures of one section of the recorded GPU run.

    Args:
        section: Such as "main", "small", "prefill" or "prefix".
        *keys: Only rows whose name contains one of these; all rows if none is given.
    """
    header, rows = _by_batch_size() if section == "small" else _by_name(section)
    rows = tuple(row for row in rows if not keys or any(key in row[0] for key in keys))
    machine = results().get("machine", {})
    name = f"{machine.get('gpu', 'a GPU')}, {machine.get('date', 'undated')}"
    return RecordedFigures(section, name, header, rows)


@cache
def results() -> dict[str, Any]:
    """The whole file; empty if there is none."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def decode_steps() -> dict[int, tuple[float, float]]:
    """Sequences in a decode step -> (its milliseconds, its floor in milliseconds), as recorded."""
    small = results().get("small", {})
    return {int(size): (row["ms"], row["floor_ms"]) for size, row in small.items()}


def _by_batch_size() -> tuple[Cells, tuple[Cells, ...]]:
    header = ("sequences", "time", "floor", "generated tokens per second")
    return header, tuple(
        (str(size), f"{ms:.2f} ms", f"{floor:.2f} ms", f"{1000 * size / ms:,.0f}")
        for size, (ms, floor) in decode_steps().items()
    )


def _by_name(section: str) -> tuple[Cells, tuple[Cells, ...]]:
    return ("", ""), tuple(_flat(results().get(section, {})))


def _flat(value: Any, key: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows; lists of raw measurements are left out, their medians stay."""
    if isinstance(value, list):
        return []
    if isinstance(value, dict):
        return [row for name, part in value.items() for row in _flat(part, name)]
    name, form = UNITS.get(key, (key, "{:,.4g}" if isinstance(value, float) else "{}"))
    return [(name, form.format(value))]


def _nothing(section: str) -> str:
    return f"No GPU figures of {section!r} are recorded here; run benchmarks/gpu.py on a GPU."
