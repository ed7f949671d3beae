"""`recorded`: what was measured on a GPU, for readers who have none.

The figures are those of `benchmarks/results/gpu.json`, written by `benchmarks/gpu.py` on a real
GPU. This module only reads them; it measures nothing.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CAPTIONS = {
    "main": "256 requests of 100 to 1,024 tokens in and out, a model of 0.6 billion parameters",
    "small": "one decode step at batch size 1, 8, 32 and 128",
    "prefill": "the first token of 256 prompts, nothing cached",
    "prefix": "the first token of 256 prompts that share 1,024 cached tokens",
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
}
"""Key in the file -> what to call it, and how to write its value."""

RESULTS = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "gpu.json"


@dataclass(frozen=True, slots=True)
class RecordedFigures:
    """One section of the recorded run, flattened to (name, value) rows."""

    section: str
    machine: str
    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        if not self.rows:
            return _nothing(self.section)
        width = max(len(name) for name, _ in self.rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in self.rows]
        return "\n".join([f"Recorded on {self.machine}: {self._caption}", *lines])

    def _repr_markdown_(self) -> str:
        if not self.rows:
            return f"*{_nothing(self.section)}*"
        lines = [f"| {name} | {value} |" for name, value in self.rows]
        title = f"Recorded on {self.machine}: {self._caption}."
        return "\n".join([title, "", "| | |", "|---|---:|", *lines])

    @property
    def _caption(self) -> str:
        return CAPTIONS.get(self.section, self.section)


def recorded(section: str, *keys: str) -> RecordedFigures:
    """The figures of one section of the recorded GPU run.

    Args:
        section: Such as "main", "small", "prefill" or "prefix".
        *keys: Only rows whose name contains one of these; all rows if none is given.
    """
    results = _results()
    rows = _flat(results.get(section, {}))
    chosen = [row for row in rows if not keys or any(key in row[0] for key in keys)]
    machine = results.get("machine", {})
    name = machine.get("gpu", "a GPU") if isinstance(machine, dict) else str(machine)
    return RecordedFigures(section, name, tuple(chosen))


@cache
def _results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows; lists of raw measurements are left out, their medians stay."""
    if isinstance(value, list):
        return []
    if isinstance(value, dict):
        parts = [_flat(part, f"{prefix}/{key}".strip("/")) for key, part in value.items()]
        return [row for part in parts for row in part]
    group, _, key = prefix.rpartition("/")
    name, form = UNITS.get(key, (key, "{:,.4g}" if isinstance(value, float) else "{}"))
    size = f"batch {group}: " if group.isdigit() else ""
    return [(size + name, form.format(value))]


def _nothing(section: str) -> str:
    return f"No GPU figures of {section!r} are recorded here; run benchmarks/gpu.py on a GPU."
