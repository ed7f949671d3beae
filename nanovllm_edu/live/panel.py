"""A panel becomes SVG: its scales are settled, and all that was drawn into it finds its pixels.

Read next: `figure.py`, which puts panels side by side.
"""

from html import escape

from nanovllm_edu.introspect.plot import INK, LINE, MUTED
from nanovllm_edu.live.axes import Axes, Rectangle

LETTER = 0.58
"""Width of a letter, in its heights."""
SMALL, LARGE = 9.0, 11.5
"""Heights of letters, in pixels."""
HATCHES = {"///": "M0 7L7 0", "...": "M1 1h1.4M4.5 4.5h1.4"}
"""Patterns, of tiles of 7 pixels."""


def text(
    x: float, y: float, words: str, size: float, anchor: str = "middle", colour: str = INK
) -> str:
    """Lines of text around a point, escaped."""
    lines = words.split("\n")
    first = y - (len(lines) - 1) * size * 0.6
    return "".join(
        f'<text x="{x:.1f}" y="{first + i * size * 1.2:.1f}" font-size="{size:.1f}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def hatches() -> str:
    """The patterns, to be defined once in a picture."""
    tile = 'width="7" height="7" patternUnits="userSpaceOnUse"'
    return "".join(
        f'<pattern id="hatch{i}" {tile}><path d="{path}" stroke="{MUTED}" fill="none"/></pattern>'
        for i, path in enumerate(HATCHES.values())
    )


class Panel:
    """Draws one panel into a box.

    Args:
        axes: What was drawn into it; its scales are settled.
        left: Of the box, in pixels, as are the others.
        top: Of the box.
        width: Of the box.
        height: Of the box.
    """

    def __init__(self, axes: Axes, left: float, top: float, width: float, height: float) -> None:
        self.axes = axes
        names = [name for _, name in axes.y.ticks or ()]
        self.left = left + 14 + LETTER * SMALL * max(map(len, names), default=0)
        self.left += 16 if axes.ylabel else 0
        self.top = top + (24 if axes.title else 8)
        self.right = left + width - 8
        bottom = (16 if axes.x.ticks else 0) + (18 if axes.xlabel else 0)
        self.bottom = top + height - 6 - bottom

    def svg(self) -> str:
        """The panel."""
        axes = self.axes
        parts = [*self._ticks(), *map(self._cell, axes.patches), *self._lines()]
        parts += [
            text(self._x(w.x), self._y(w.y) + 0.35 * w.size, w.words, w.size, w.anchor, w.colour)
            for w in axes.texts
            if w.words
        ]
        parts.append(text(self.left, self.top - 9, axes.title, LARGE, "start"))
        middle = (self.left + self.right) / 2
        below = self.bottom + (30 if axes.x.ticks else 14)
        parts.append(text(middle, below, axes.xlabel, SMALL))
        if axes.ylabel:
            x, y = self.left - 34, (self.top + self.bottom) / 2
            turned = text(x, y, axes.ylabel, SMALL)
            parts.append(f'<g transform="rotate(-90 {x:.1f} {y:.1f})">{turned}</g>')
        return "".join(parts)

    def _x(self, value: float) -> float:
        return self.left + self.axes.x.share(value) * (self.right - self.left)

    def _y(self, value: float) -> float:
        return self.bottom - self.axes.y.share(value) * (self.bottom - self.top)

    def _cell(self, cell: Rectangle) -> str:
        (x, y), right, top = cell.corner, cell.corner[0] + cell.width, cell.corner[1] + cell.height
        xs, ys = sorted((self._x(x), self._x(right))), sorted((self._y(y), self._y(top)))
        place = (
            f'x="{xs[0]:.1f}" y="{ys[0]:.1f}" width="{xs[1] - xs[0]:.1f}" '
            f'height="{ys[1] - ys[0]:.1f}"'
        )
        drawn = (
            f'<rect {place} fill="{cell.facecolor}" fill-opacity="{cell.alpha}" '
            f'stroke="{cell.edgecolor}" stroke-width="{cell.lw}"/>'
        )
        if cell.hatch:
            drawn += f'<rect {place} fill="url(#hatch{[*HATCHES].index(cell.hatch)})"/>'
        return drawn

    def _lines(self) -> list[str]:
        parts: list[str] = []
        for i, line in enumerate(self.axes.lines):
            places = [(self._x(x), self._y(y)) for x, y in line.points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"/>'
            )
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>' for x, y in places
            ]
            if self.axes.has_legend:
                height = self.top + 14 * (i + 1)
                parts.append(text(self.right - 4, height, line.label, SMALL, "end", line.colour))
        return parts

    def _ticks(self) -> list[str]:
        parts: list[str] = []
        for place, name in self.axes.x.ticks or ():
            x = self._x(place)
            parts.append(text(x, self.bottom + 13, name, SMALL))
            parts += [self._rule(x, self.top, x, self.bottom)] * self.axes.has_grid
        for place, name in self.axes.y.ticks or ():
            y = self._y(place)
            parts.append(text(self.left - 6, y + 3, name, SMALL, "end"))
            parts += [self._rule(self.left, y, self.right, y)] * self.axes.has_grid
        return parts

    def _rule(self, x: float, y: float, to_x: float, to_y: float) -> str:
        ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
        return f'<line {ends} stroke="{LINE}"/>'
