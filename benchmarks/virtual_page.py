"""The page of `virtual.py`: what was measured, what was predicted, and where it differs.

A figure's *noise* is how far its error in one round is from that in the middle one, at most: the
model is the same in all of them, so that is what the runs themselves differ by. What steps of each
kind took is compared on the very plans of the real runs: there the prediction had nothing to
decide.

Read next: `virtual.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from statistics import mean, median
from typing import NamedTuple

from matplotlib import pyplot
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from virtual_runs import Round
from virtual_workloads import HELD_OUT

from nanovllm_edu.introspect.plot import MUTED, Plot
from nanovllm_edu.lessons.pictures import PALETTE
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
MARKERS = "osD^v<>P"
"""A workload is known by its colour or by its form."""


class Row(NamedTuple):
    """One figure of one workload: what each round measured, and what it predicted."""

    workload: str
    figure: str
    measured: list[float]
    predicted: list[float]

    @property
    def errors(self) -> list[float]:
        """Of each round, as a fraction."""
        return [p / m - 1 for p, m in zip(self.predicted, self.measured, strict=True)]

    @property
    def error(self) -> float:
        """The median of the rounds."""
        return median(self.errors)

    @property
    def noise(self) -> float:
        """By how much the round that is farthest from all of them is off."""
        return max(abs(error - self.error) for error in self.errors)


def middle_of(values: Iterable[float]) -> tuple[float, float]:
    """Between which two values nine of ten lie."""
    ranked = sorted(values)
    return ranked[len(ranked) // 20], ranked[-len(ranked) // 20]


def as_markdown(
    how: str,
    command: str,
    picture: str,
    calibration: Calibration,
    calibrations: list[Calibration],
    rows: list[Row],
    found: list[Round],
) -> str:
    """All of the page: of the calibration that is shipped, and of those of the rounds.

    Args:
        how: What the seconds are.
        command: How the page is made.
        picture: Its file.
        calibration: The one that is shipped.
        calibrations: Those of the rounds.
        rows: Every figure of every workload.
        found: The rounds.
    """
    load = ", ".join(f"{each.load:.1f}" for each in found)
    low, high = middle_of(calibration.spread)
    parts = [
        f"""\
# The virtual clock against a real one

{calibration.model} on {calibration.device_name}, {calibration.date}, {how}.
Load of the machine in each round: {load}, of which one is ours. Command:
`{command}`.

```text
{calibration!r}
```

{_evenness_of(found)}Nine of ten steps that were fitted took {low:+.0%} to {high:+.0%} more than
predicted.

None of these runs was fitted. In each of {len(found)} rounds everything was served
once: the clock of a round is fitted to four runs of that round, and predicts the others. Measured,
predicted and error are medians of the rounds. *Noise* is by how much the error of the round that is
farthest from that differs from it.
""",
        "\n".join(_table_of(rows)),
        "\nAll of it:\n",
        "\n".join(_totals_of(rows)),
        WHERE_FROM,
        "\n".join(_table_of_steps(calibrations, found)),
        f"\n![Predicted against measured]({picture})\n",
    ]
    return "\n".join(parts)


def _evenness_of(found: list[Round]) -> str:
    """How much the speed of a machine differed that has a metronome."""
    ticks = [seconds for each in found for seconds in each.ticks]
    if not ticks or found[0].usual is None:
        return ""
    quick, slow = middle_of(ticks)
    return f"""\
So even was the machine: nine of ten steps of the metronome took {1e3 * quick:.2f} to
{1e3 * slow:.2f} ms. All seconds here are those of an even one, on which each takes
{1e3 * found[0].usual:.2f} ms.
"""


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
        measured, predicted = median(row.measured), median(row.predicted)
        yield (
            f"| {row.workload} | {row.figure} | {measured:,.2f} {unit} | {predicted:,.2f} {unit} | "
            f"{row.error:+.1%} | {goal:.0%} | {row.noise:.1%} |"
        )


def _totals_of(rows: list[Row]) -> Iterator[str]:
    """Each figure over all workloads, and how many of its misses may be noise alone."""
    yield "| figure | goal | mean error | largest | within | not, but with its noise | mean noise |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for figure, (_, _, goal) in FIGURES.items():
        found = [row for row in rows if row.figure == figure]
        sizes = [abs(row.error) for row in found]
        within = sum(size <= goal for size in sizes)
        excused = sum(goal < abs(row.error) <= goal + row.noise for row in found)
        yield (
            f"| {figure} | {goal:.0%} | {mean(sizes):.1%} | {max(sizes):.1%} | "
            f"{within} of {len(found)} | {excused} | {mean(row.noise for row in found):.1%} |"
        )


def _table_of_steps(calibrations: list[Calibration], found: list[Round]) -> Iterator[str]:
    """By which part the seconds of each kind of step are predicted wrong."""
    yield f"| workload | {' | '.join(KINDS)} | preempted |"
    yield f"|---|{'---:|' * (len(KINDS) + 1)}"
    for name in HELD_OUT:
        copies = [each.recordings[name] for each in found]
        timed = [
            (sample, clock.device.of(sample.work) + clock.host.of(sample.work))
            for clock, copy in zip(calibrations, copies, strict=True)
            for sample in samples_of(copy)
        ]
        total = sum(sample.seconds for sample, _ in timed)
        groups = ([each for each in timed if is_one(each[0])] for is_one in KINDS.values())
        cells = [_cell(group, total) for group in groups]
        preempted = sum(len(record.preempted) for copy in copies for record in copy)
        yield f"| {name} | {' | '.join(cells)} | {preempted / len(copies):.0f} |"


def _cell(timed: list[tuple[Sample, float]], total: float) -> str:
    """The error of these steps' sum, and their part of all seconds."""
    took = sum(sample.seconds for sample, _ in timed)
    expected = sum(predicted for _, predicted in timed)
    return f"{expected / took - 1:+.1%} ({took / total:.0%})" if took else "none"


def plot(rows: list[Row]) -> Plot:
    """A panel for each figure: each round of each workload, and the line where all should be."""
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(11, 4.2), layout="constrained")
    for panel, (name, (unit, _, _)) in zip(panels, FIGURES.items(), strict=True):
        found = [row for row in rows if row.figure == name]
        seen = [value for row in found for value in (*row.measured, *row.predicted)]
        ends = [0.8 * min(seen), 1.2 * max(seen)]
        panel.plot(ends, ends, color=MUTED, linewidth=1)
        for row, colour, marker in zip(found, PALETTE, MARKERS, strict=True):
            panel.plot(row.measured, row.predicted, marker, color=colour, label=row.workload)
        panel.set(title=name, xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}")
        if ends[1] > 8 * ends[0]:
            panel.set(xscale="log", yscale="log")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set(
                    major_locator=LogLocator(subs=(1, 2, 5)),
                    major_formatter=StrMethodFormatter("{x:,g}"),
                    minor_locator=NullLocator(),
                )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=len(HELD_OUT), frameon=False)  # fmt: skip
    return Plot(figure, "Predicted against measured", "the figures of the table above")
