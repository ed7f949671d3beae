"""Curves and dots as SVG: no script, the page's own colours, as wide as there is room.

It knows nothing of requests: give it numbers. Read next: `load/page.py`, which has the colours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 44
DASHES = ("", "7 4", "2 4", "10 3 2 3")
"""Lines differ in more than their colour."""


@dataclass(frozen=True)
class Axis:
    """From numbers to places.

    Attributes:
        name: With its unit.
        low: At its beginning; above 0 if `is_log`.
        high: At its end.
        is_log: Whether equal steps are equal ratios.
    """

    name: str
    low: float
    high: float
    is_log: bool = False

    @classmethod
    def over(cls, name: str, values: Sequence[float], *, is_log: bool = False) -> "Axis":
        """One on which all values fit; from 0 on, unless it is logarithmic."""
        if not is_log:
            return cls(name, 0.0, (max(values, default=0.0) or 1.0) * 1.04)
        above = [value for value in values if value > 0] or [1.0]
        low, high = min(above), max(above)
        return cls(name, low / 1.2, high * 1.2, is_log=True)

    def share(self, value: float) -> float:
        """Where a value is: 0 at the beginning, 1 at the end."""
        if self.is_log:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on it: 1, 2 and 5 times a power of ten."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = (1, 2, 5) if self.high / self.low < 100 else (1,)
            all_of_them = [digit * 10.0**power for power in powers for digit in digits]
            return [tick for tick in all_of_them if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
        return [step * i for i in range(math.ceil(self.low / step), int(self.high / step) + 1)]


def plot(
    title: str,
    x: Axis,
    y: Axis,
    series: Mapping[str, Points],
    *,
    are_dots: bool = False,
    limit: float | None = None,
) -> str:
    """A figure.

    Args:
        title: Above it, and what a reader hears who does not see it.
        x: From left to right.
        y: From bottom to top.
        series: Name -> its points, in order of x.
        are_dots: Whether points stand for themselves; else a line joins them.
        limit: A value of y that should not be exceeded.
    """
    draw = _dots if are_dots else _line
    inside = [_grid(x, y)]
    if limit is not None and y.low <= limit <= y.high:
        level = _y(y, limit)
        inside.append(
            f'<path class="limit" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/><text class="limit-name"'
            f' x="{WIDTH - RIGHT - 4}" y="{level - 5:.1f}" text-anchor="end">SLO</text>'
        )
    inside += [draw(number, x, y, points) for number, points in enumerate(series.values())]
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 28 8" aria-hidden="true">{_key(number, are_dots)}'
        f"</svg>{escape(name)}</span>"
        for number, name in enumerate(series)
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><div class="keys">{keys}</div>'
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"{''.join(inside)}</svg></figure>"
    )


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _grid(x: Axis, y: Axis) -> str:
    floor = HEIGHT - BOTTOM
    parts = [f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>']
    for tick in y.ticks:
        level = _y(y, tick)
        parts.append(
            f'<path class="grid" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    for tick in x.ticks:
        parts.append(
            f'<text x="{_x(x, tick):.1f}" y="{floor + 16}" text-anchor="middle">'
            f"{number(tick)}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="name" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        f'{escape(x.name)}</text><text class="name" transform="translate(14 {floor / 2}) '
        f'rotate(-90)" text-anchor="middle">{escape(y.name)}</text>'
    )
    return "".join(parts)


def _line(index: int, x: Axis, y: Axis, points: Points) -> str:
    path = "L".join(f"{_x(x, a):.1f} {_y(y, b):.1f}" for a, b in points)
    marks = "".join(f"M{_x(x, a):.1f} {_y(y, b):.1f}h0" for a, b in points)
    dots = f'<path class="dots s{index}" d="{marks}"/>' if len(points) <= 20 else ""
    dash = DASHES[index % len(DASHES)]
    return f'<path class="line s{index}" stroke-dasharray="{dash}" d="M{path}"/>{dots}'


def _dots(index: int, x: Axis, y: Axis, points: Points) -> str:
    marks = "".join(f"M{_x(x, a):.1f} {_y(y, b):.1f}h0" for a, b in points)
    return f'<path class="dots s{index}" d="{marks}"/>'


def _key(index: int, are_dots: bool) -> str:
    if are_dots:
        return f'<path class="dots s{index}" d="M14 4h0"/>'
    dash = DASHES[index % len(DASHES)]
    return f'<path class="line s{index}" stroke-dasharray="{dash}" d="M0 4H28"/>'
