"""The page of `virtual.py`: what was measured, what was predicted, and where it differs.

A figure's *noise* is how far a copy of the run is from the median of the others, at most: no model
of a step's work can be expected to do better. What steps of each kind took is compared on the very
plans of the real runs: there the prediction had nothing to decide.

Read next: `virtual.py`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from matplotlib import pyplot

from nanovllm_edu.introspect import Recording
from nanovllm_edu.virtual.calibration import Calibration
from nanovllm_edu.virtual.fit import Sample, samples_of
from nanovllm_edu.virtual.summary import Summary

FIGURES: dict[str, tuple[str, Callable[[Summary], float], float]] = {
    "mean time per token": ("ms", lambda s: 1e3 * s.mean_tpot, 0.02),
    "p99 TTFT": ("ms", lambda s: 1e3 * s.ttft(0.99), 0.08),
    "throughput": ("tokens/s", lambda s: s.tokens_per_second, 0.02),
}
"""Name -> unit, how to read it, and the goal."""
KINDS: dict[str, Callable[[Sample], bool]] = {
    "rows only": lambda sample: not sample.work.prompts,
    "prompts beside rows": lambda sample: bool(sample.work.prompts and sample.work.rows),
    "prompts only": lambda sample: bool(sample.work.prompts and not sample.work.rows),
}
"""Of steps."""


class Row(NamedTuple):
    """One figure of one workload: of each copy, and of each virtual run."""

    workload: str
    figure: str
    copies: list[float]
    virtual: list[float]

    @property
    def measured(self) -> float:
        """The median of the copies."""
        return median(self.copies)

    @property
    def predicted(self) -> float:
        """The median of the virtual runs."""
        return median(self.virtual)

    @property
    def error(self) -> float:
        """As a fraction."""
        return self.predicted / self.measured - 1

    @property
    def errors_among_copies(self) -> list[float]:
        """Of each copy, if it is taken as the prediction of the others."""
        others = [median(self.copies[:i] + self.copies[i + 1 :]) for i in range(len(self.copies))]
        return [copy / other - 1 for copy, other in zip(self.copies, others, strict=True)]

    @property
    def noise(self) -> float:
        """Of the copy that is farthest from the others."""
        return max(map(abs, self.errors_among_copies))


def middle_of(values: Iterable[float]) -> tuple[float, float]:
    """Between which two values nine of ten lie."""
    ranked = sorted(values)
    return ranked[len(ranked) // 20], ranked[-len(ranked) // 20]


def as_markdown(
    calibration: Calibration,
    rows: list[Row],
    recordings: dict[str, list[Recording]],
    ticks: list[float],
    usual: float,
) -> str:
    """All of the page."""
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    (low, high), (quick, slow) = middle_of(calibration.spread), middle_of(ticks)
    copies = len(rows[0].copies)
    parts = [
        f"""\
# The virtual clock against a real one

{calibration.model} on {calibration.device_name}, {calibration.date}, one thread, CPU
seconds; load {load} on two cores when it was made. Command: `python benchmarks/virtual.py --ship`.

```text
{calibration!r}
```

So even was the machine: nine of ten steps of the metronome took {1e3 * quick:.2f} to
{1e3 * slow:.2f} ms. All seconds here are those of an even one, on which each takes
{1e3 * usual:.2f} ms. There, nine of ten steps that were fitted took
{low:+.0%} to {high:+.0%} more than predicted.

None of these runs was fitted. Measured is the median of {copies} copies, served in rounds, and
predicted that of {len(rows[0].virtual)} virtual runs. *Noise* is by how much the copy that is
farthest from the others was off.
""",
        "\n".join(_table_of(rows)),
        "\nA copy, as a prediction of the others, beside the model:\n",
        "\n".join(_totals_of(rows)),
        WHERE_FROM,
        "\n".join(_table_of_steps(calibration, recordings)),
        "\n![Predicted against measured](virtual.svg)\n",
    ]
    return "\n".join(parts)


WHERE_FROM = """
Where the error comes from: the steps of these runs, as they were planned in the real ones. Each
cell says by how much the seconds of all steps of a kind are predicted wrong, and which part of the
run's seconds they took. (What is right here and wrong above was decided otherwise, or disturbed.)
"""


def _table_of(rows: list[Row]) -> Iterator[str]:
    """Every figure of every workload."""
    yield "| workload | figure | measured | predicted | error | goal | noise |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for row in rows:
        unit, _, goal = FIGURES[row.figure]
        yield (
            f"| {row.workload} | {row.figure} | {row.measured:,.2f} {unit} | "
            f"{row.predicted:,.2f} {unit} | {row.error:+.1%} | {goal:.0%} | {row.noise:.1%} |"
        )


def _totals_of(rows: list[Row]) -> Iterator[str]:
    """Each figure over all workloads, of the model and of the copies."""
    yield (
        "| figure | goal | model: mean error | largest | within | copy: mean error | largest "
        "| within |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for figure, (_, _, goal) in FIGURES.items():
        found = [row for row in rows if row.figure == figure]
        of_model = [row.error for row in found]
        of_copies = [error for row in found for error in row.errors_among_copies]
        sides = " | ".join(_errors(errors, goal) for errors in (of_model, of_copies))
        yield f"| {figure} | {goal:.0%} | {sides} |"


def _errors(errors: list[float], goal: float) -> str:
    """Their mean, the largest, and how many keep to the goal, as cells."""
    sizes = [abs(error) for error in errors]
    within = sum(size <= goal for size in sizes)
    return f"{mean(sizes):.1%} | {max(sizes):.1%} | {within} of {len(sizes)}"


def _table_of_steps(
    calibration: Calibration, recordings: dict[str, list[Recording]]
) -> Iterator[str]:
    """By which part the seconds of each kind of step are predicted wrong."""
    yield f"| workload | {' | '.join(KINDS)} | preempted |"
    yield f"|---|{'---:|' * (len(KINDS) + 1)}"
    for name, copies in recordings.items():
        samples = [sample for recording in copies for sample in samples_of(recording)]
        total = sum(sample.seconds for sample in samples)
        preempted = sum(len(record.preempted) for copy in copies for record in copy)
        cells = [
            _cell([s for s in samples if is_one(s)], calibration, total)
            for is_one in KINDS.values()
        ]
        yield f"| {name} | {' | '.join(cells)} | {preempted / len(copies):.0f} |"


def _cell(samples: list[Sample], calibration: Calibration, total: float) -> str:
    """The error of these steps' sum, and their part of all seconds."""
    took = sum(sample.seconds for sample in samples)
    expected = sum(calibration.device.of(s.work) + calibration.host.of(s.work) for s in samples)
    return f"{expected / took - 1:+.1%} ({took / total:.0%})" if took else "none"


def plot(rows: list[Row], path: Path) -> None:
    """A panel for each figure: each workload as wide as its copies, and where all should be."""
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(11, 3.8), layout="constrained")
    for panel, (name, (unit, _, _)) in zip(panels, FIGURES.items(), strict=True):
        found = [row for row in rows if row.figure == name]
        ends = [0.8 * min(r.measured for r in found), 1.2 * max(r.measured for r in found)]
        panel.plot(ends, ends, color="0.6", linewidth=1)
        for row in found:
            spread = [[row.measured - min(row.copies)], [max(row.copies) - row.measured]]
            panel.errorbar(row.measured, row.predicted, xerr=spread, fmt="o", markersize=5)
            panel.annotate(row.workload, (row.measured, row.predicted), fontsize=7,
                           xytext=(4, -8), textcoords="offset points")  # fmt: skip
        panel.set(title=name, xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}")
        if ends[1] > 8 * ends[0]:
            panel.set(xscale="log", yscale="log")
    figure.savefig(path, metadata={"Date": None})
