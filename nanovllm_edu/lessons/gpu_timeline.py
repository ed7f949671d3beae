"""`recorded_timeline`: who worked when, host or GPU, in a run that was recorded on a GPU.

    recorded_timeline()                the picture: depth 0 above depth 1, on one time scale
    recorded_timeline().idle_share(0)  how much of the time the GPU had nothing to do

It reads `benchmarks/results/gpu_timeline.json`: for each depth the steps of a run, and for each
step when the host planned, launched, waited and committed and when the GPU computed, in
microseconds. The GPU's times come from CUDA events. This module measures nothing.

Read next: `virtual_gpu.py`, where host and device are as fast as you like.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from nanovllm_edu.introspect.plot import INK, LINE, MUTED, PALE, Plot
from nanovllm_edu.lessons.pictures import DARK, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIMELINE = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "gpu_timeline.json"

COLOURS = {
    "plan": PALETTE[0],
    "launch": PALETTE[4],
    "wait": PALE,
    "commit": PALETTE[3],
    "GPU computes": PALETTE[1],
    "GPU idle": "none",
}
HOST = ("plan", "launch", "wait", "commit")


class Interval(NamedTuple):
    """Half-open interval of time, in microseconds."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.begin

    def within(self, other: "Interval") -> "Interval":
        """The part of this one that lies in the other one; of length 0 if none does."""
        begin = min(max(self.begin, other.begin), other.end)
        return Interval(begin, max(begin, min(self.end, other.end)))


class Step(NamedTuple):
    """One step of the recorded run."""

    step_id: int
    num_tokens: int
    num_seqs: int
    kind: str
    plan: Interval
    launch: Interval
    wait: Interval
    commit: Interval
    device: Interval

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Step":
        fields: dict[str, Any] = dict(row)
        fields.update((name, Interval(*row[name])) for name in (*HOST, "device"))
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class GPUTimeline:
    """A recorded run per depth. In a notebook it shows as a picture.

    Attributes:
        gpu: Its name; empty if nothing is recorded.
        date: Of the recording.
        runs: Depth -> its steps, in order.
    """

    gpu: str
    date: str
    runs: Mapping[int, tuple[Step, ...]]

    def decode(self, depth: int, count: int = 0) -> tuple[Step, ...]:
        """The longest stretch of decode steps of equally many sequences, or `count` of its middle.

        The engine is in its stride there: no prefill comes in between, and nobody joins or leaves.
        """
        stretches: list[list[Step]] = [[]]
        for step in self.runs[depth]:
            last = stretches[-1][-1:] or [step]
            if step.kind != "decode" or step.num_seqs != last[0].num_seqs:
                stretches.append([])
            if step.kind == "decode":
                stretches[-1].append(step)
        longest = max(stretches, key=len)
        start = (len(longest) - count) // 2 if 0 < count < len(longest) else 0
        return tuple(longest[start : start + count] if count else longest)

    def step_us(self, depth: int) -> float:
        """Median time from one decode step's beginning on the GPU to the next one's."""
        steps = self.decode(depth)
        return median(b.device.begin - a.device.begin for a, b in pairwise(steps))

    def idle_share(self, depth: int) -> float:
        """Share of the time between decode steps in which the GPU has nothing to do."""
        steps = self.decode(depth)
        idle = sum(gap.length for gap in _gaps(steps))
        return idle / (steps[-1].device.end - steps[0].device.begin)

    def draw(self, count: int = 5) -> Plot:
        """`count` decode steps of each run, host above GPU, depth 0 on top; one time scale."""
        from matplotlib import pyplot

        size = (10.0, 0.9 + 1.15 * len(self.runs))
        figure, panels = pyplot.subplots(
            len(self.runs), 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
        )
        pyplot.close(figure)
        for axes, depth in zip(panels[:, 0], sorted(self.runs), strict=True):
            _draw_run(axes, self.runs[depth], self.decode(depth, count))
            per_step, idle = self.step_us(depth) / 1e3, self.idle_share(depth)
            title = f"depth {depth}: a step every {per_step:.2f} ms, the GPU is idle {idle:.1%}"
            axes.set_title(f"{title} of the time", fontsize=10, loc="left")
        axes.set_xlabel("microseconds", fontsize=9)
        axes.set_xlim(left=0)
        figure.legend(
            handles=_legend(), loc="outside lower center", ncols=6, fontsize=8, frameon=False
        )
        title, *words = repr(self).split("\n  ")
        return Plot(figure, title, "; ".join(words))

    def __repr__(self) -> str:
        if not self.runs:
            return f"No GPU timeline is recorded here: there is no {TIMELINE.name} to draw."
        num_seqs = self.decode(min(self.runs))[0].num_seqs
        lines = [f"Recorded on {self.gpu}, {self.date}: decode steps of {num_seqs} sequences"]
        for depth in sorted(self.runs):
            per_step, idle = self.step_us(depth) / 1e3, self.idle_share(depth)
            lines.append(f"depth {depth}: {per_step:.2f} ms per step, GPU idle {idle:.1%}")
        return "\n  ".join(lines)

    def _repr_svg_(self) -> str | None:
        return self.draw().svg() if self.runs else None


def recorded_timeline(path: Path = TIMELINE) -> GPUTimeline:
    """The recorded runs; an empty timeline, which says so, if there is no file."""
    if not path.exists():
        return GPUTimeline("", "", {})
    data = json.loads(path.read_text(encoding="utf-8"))
    runs = {run["depth"]: tuple(map(Step.from_dict, run["steps"])) for run in data["runs"]}
    return GPUTimeline(data["gpu"], data["date"], runs)


def _gaps(steps: tuple[Step, ...]) -> Iterator[Interval]:
    """Where the GPU stands between two steps."""
    for before, after in pairwise(steps):
        if after.device.begin > before.device.end:
            yield Interval(before.device.end, after.device.begin)


def _draw_run(axes: "Axes", run: tuple[Step, ...], shown: tuple[Step, ...]) -> None:
    window = Interval(shown[0].device.begin, shown[-1].device.end)
    for step in run:
        for name in HOST:
            _bar(axes, 0, getattr(step, name), window, name)
        _bar(axes, 1, step.device, window, "GPU computes")
        _text(axes, 0, step.launch.end, window, f" starts {step.step_id}", "left", INK)
        middle = step.device.begin + step.device.length / 2
        _text(axes, 1, middle, window, f"step {step.step_id}", "center", DARK)
    for gap in _gaps(shown):
        _bar(axes, 1, gap, window, "GPU idle")
    axes.set_yticks((0, 1), ("host", "GPU"))
    axes.set_ylim(1.45, -0.45)
    axes.tick_params(labelsize=9, length=0)
    axes.grid(axis="x", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _bar(axes: "Axes", row: int, interval: Interval, window: Interval, name: str) -> None:
    shown = interval.within(window)
    if shown.length:
        left = shown.begin - window.begin
        axes.barh(row, shown.length, left=left, height=0.72, color=COLOURS[name], **_line(name))


def _text(
    axes: "Axes", row: int, at: float, window: Interval, text: str, align: str, ink: str
) -> None:
    """Writes text at a moment, if that lies in the window."""
    if window.begin < at < window.end:
        axes.text(at - window.begin, row, text, ha=align, va="center", fontsize=8, color=ink)


def _line(name: str) -> dict[str, Any]:
    """Idle time has a hatch, so that it is seen without its colour."""
    if name == "GPU idle":
        return {"edgecolor": MUTED, "hatch": "/////", "lw": 0.8}
    return {"edgecolor": LINE if name == "wait" else "white", "lw": 0.6}


def _legend() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(facecolor=colour, label=name, **_line(name)) for name, colour in COLOURS.items()]
