"""One panel of a picture: what was drawn into it, in numbers of its own, and the scales of those.

They become pixels when the picture is shown, because only then the scales are known.

Read next: `panel.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log
from typing import Any, NamedTuple

from nanovllm_edu.introspect.plot import INK

POINT = 80 / 72
"""Pixels of a point, in which sizes of letters are given."""
ANCHORS = {"center": "middle", "left": "start", "right": "end"}


class Rectangle(NamedTuple):
    """A cell: its lower corner, its size, and how it is painted."""

    corner: tuple[float, float]
    width: float
    height: float
    facecolor: str = "none"
    edgecolor: str = "none"
    alpha: float = 1.0
    hatch: str | None = None
    lw: float = 1.0


class Words(NamedTuple):
    """A text at a place."""

    x: float
    y: float
    words: str
    anchor: str
    size: float
    colour: str


class Line(NamedTuple):
    """A line through points, and its name."""

    points: list[tuple[float, float]]
    colour: str
    label: str


class Polish:
    """Takes every call, attribute and key that only polishes a picture."""

    def __getattr__(self, name: str) -> "Polish":
        if name.startswith("_"):  # of Python's own, such as those of a copy
            raise AttributeError(name)
        return self

    def __getitem__(self, key: str) -> "Polish":
        return self

    def __call__(self, *_: Any, **__: Any) -> tuple[()]:
        return ()


@dataclass
class Scale:
    """From data to a share of the length of an axis; with a base it is logarithmic."""

    low: float | None = None
    high: float | None = None
    base: float | None = None
    ticks: list[tuple[float, str]] | None = None

    def fit(self, values: Iterable[float]) -> None:
        """Ends that were not given are where the data ends."""
        seen = [*values] or [0.0, 1.0]
        self.low = min(seen) if self.low is None else self.low
        self.high = max(seen) if self.high is None else self.high
        if self.low == self.high:
            self.high = self.low + 1
        self.ticks = self.round_ticks() if self.ticks is None else self.ticks

    def share(self, value: float) -> float:
        """0 at the beginning of the axis, 1 at its end."""
        assert self.low is not None and self.high is not None
        low, high, here = map(self._bent, (self.low, self.high, value))
        return (here - low) / (high - low)

    def _bent(self, value: float) -> float:
        return value if self.base is None else log(value, self.base)

    def round_ticks(self) -> list[tuple[float, str]]:
        """About four round numbers; powers of the base where there is one."""
        assert self.low is not None and self.high is not None
        low, high = sorted(map(self._bent, (self.low, self.high)))
        rough = (high - low) / 4 if self.base is None else 1.0
        unit = 10.0 ** floor(log(rough, 10))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        numbers = [i * step for i in range(ceil(low / step), floor(high / step) + 1)]
        places = numbers if self.base is None else [self.base**number for number in numbers]
        return [(place, f"{place:,.10g}") for place in places]


@dataclass
class Axes(Polish):
    """A panel, with matplotlib's names for what is drawn into it."""

    title: str = ""
    xlabel: str = ""
    ylabel: str = ""
    patches: list[Rectangle] = field(default_factory=list[Rectangle])
    texts: list[Words] = field(default_factory=list[Words])
    lines: list[Line] = field(default_factory=list[Line])
    x: Scale = field(default_factory=Scale)
    y: Scale = field(default_factory=Scale)
    has_grid: bool = False
    has_legend: bool = False

    def add_patch(self, patch: Rectangle) -> None:
        self.patches.append(patch)

    def barh(self, rows: Sequence[float], values: Sequence[float], *, color: str) -> None:
        for row, value in zip(rows, values, strict=True):
            self.patches.append(Rectangle((0, row - 0.4), value, 0.8, color))

    def plot(self, x: Sequence[float], y: Sequence[float], *, color: str, **options: Any) -> None:
        self.lines.append(Line([*zip(x, y, strict=True)], color, options.get("label", "")))

    def text(self, x: float, y: float, words: str, **options: Any) -> None:
        anchor = ANCHORS[options.get("ha", "left")]
        size, colour = options.get("fontsize", 10), options.get("color", INK)
        self.texts.append(Words(x, y, words, anchor, size * POINT, colour))

    def set_title(self, words: str, **_: Any) -> None:
        self.title = words

    def set_xlabel(self, words: str, **_: Any) -> None:
        self.xlabel = words

    def set_ylabel(self, words: str, **_: Any) -> None:
        self.ylabel = words

    def set_xlim(self, low: float, high: float) -> None:
        self.x.low, self.x.high = low, high

    def set_ylim(self, low: float | None = None, high: float | None = None, **ends: float) -> None:
        self.y.low, self.y.high = ends.get("bottom", low), ends.get("top", high)

    def invert_yaxis(self) -> None:
        self.y.fit(self._ys())
        self.y.low, self.y.high = self.y.high, self.y.low

    def set_xticks(self, places: Sequence[float], labels: Sequence[str] | None = None) -> None:
        self.x.ticks = _ticks(places, labels)

    def set_yticks(self, places: Sequence[float], labels: Sequence[str] | None = None) -> None:
        self.y.ticks = _ticks(places, labels)

    def set_xticklabels(self, labels: Sequence[str]) -> None:
        self.x.ticks = _ticks([place for place, _ in self.x.ticks or ()], labels)

    def set_yticklabels(self, labels: Sequence[str]) -> None:
        self.y.ticks = _ticks([place for place, _ in self.y.ticks or ()], labels)

    def set_xscale(self, _: str, base: float = 10) -> None:
        self.x.base = base

    def set_yscale(self, _: str, base: float = 10) -> None:
        self.y.base = base

    def grid(self, **_: Any) -> None:
        self.has_grid = True

    def legend(self, **_: Any) -> None:
        self.has_legend = True

    def _ys(self) -> list[float]:
        ends = (edge for p in self.patches for edge in (p.corner[1], p.corner[1] + p.height))
        return [*ends, *(y for line in self.lines for _, y in line.points)]

    def fit(self, shared: "Axes") -> None:
        """Settles the scales; `shared` is the panel whose y axis this one has."""
        xs = [edge for p in self.patches for edge in (p.corner[0], p.corner[0] + p.width)]
        self.x.fit([*xs, *(x for line in self.lines for x, _ in line.points)])
        if shared is not self:
            self.y = Scale(shared.y.low, shared.y.high, shared.y.base, [])
        self.y.fit(self._ys())


def _ticks(places: Sequence[float], labels: Sequence[str] | None) -> list[tuple[float, str]]:
    names = [f"{place:g}" for place in places] if labels is None else labels
    return [*zip(places, names, strict=True)]
