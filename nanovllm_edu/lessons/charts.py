"""Bars and lines, drawn the same way in every lesson.

    bars(labels, {"T = 1": values, ...})       one panel per group, one bar per label
    lines(x, {"budget 256": y, ...})           one line per series, each with its own marker

Colours are those of `pictures.py`. It knows nothing of engines: give it numbers.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from nanovllm_edu.introspect.plot import INK, LINE, Plot
from nanovllm_edu.lessons.pictures import PALETTE
from nanovllm_edu.lessons.words import bars_in_words, series_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*"


def bars(
    labels: Sequence[str],
    groups: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    xlabel: str = "",
    limit: float | None = None,
) -> Plot:
    """Horizontal bars: a panel per group, side by side; on one scale if they have one label.

    Args:
        labels: Of the bars, first one on top.
        groups: Title of each panel -> a value per label; 0 draws no bar and a dash.
        title: Above the picture.
        xlabel: Below each panel. Without one, panels may count different things: percent, seconds.
        limit: End of the scale; the largest value by default.
    """
    from matplotlib import pyplot

    width = min(11.0, max(1.2 + 2.5 * len(groups), 0.5 + 0.085 * len(title)))
    largest = {name: max(values) for name, values in groups.items()}
    if xlabel:
        largest = dict.fromkeys(groups, max(largest.values()))
    figure, panels = pyplot.subplots(
        1,
        len(groups),
        figsize=(width, 0.9 + 0.24 * len(labels)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    pyplot.close(figure)
    for column, (name, values) in enumerate(groups.items()):
        axes, colour = panels[0][column], PALETTE[column % len(PALETTE)]
        axes.barh(range(len(labels)), values, color=colour)
        for row, value in enumerate(values):
            axes.text(value, row, f" {_short(value)}", va="center", fontsize=8, color=INK)
        axes.set_xlim(0, limit or 1.3 * largest[name] or 1)
        axes.locator_params(axis="x", nbins=4)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel(xlabel, fontsize=8)
        _plain(axes)
    panels[0][0].set_yticks(range(len(labels)), labels)
    panels[0][0].invert_yaxis()
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    shown = {name: [_short(value) for value in values] for name, values in groups.items()}
    if not title and len(groups) == 1:  # its only name is said once
        title, shown = next(iter(groups)), {"": next(iter(shown.values()))}
    return Plot(figure, title or ", ".join(groups), bars_in_words(labels, shown))


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> Plot:
    """One line per series over the same x values, labelled at its end.

    Args:
        x: Common to all series.
        series: Name -> one y per x.
        title: Above the picture.
        xlabel: Below it.
        ylabel: Beside it.
        log_x: Powers of two on the x axis.
        log_y: 1, 2, 5, 10, 20 … on the y axis.
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 3.4), layout="constrained")
    pyplot.close(figure)
    for number, (name, y) in enumerate(series.items()):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        # Not clipped: a marker at the edge of the axes is as whole as the others.
        axes.plot(
            x, y, color=colour, marker=marker, markersize=5, lw=1.6, label=name, clip_on=False
        )
    if log_x:
        axes.set_xscale("log", base=2)
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
    elif len(x) <= 12:
        axes.set_xticks(list(x))
    if log_y:
        axes.set_yscale("log")
        positive = [value for y in series.values() for value in y if value > 0]
        ticks = _one_two_five(positive or [1.0])
        axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.grid(color=LINE, lw=0.6)
    if len(series) > 1:
        axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    return Plot(figure, title, series_in_words(x, series))


def _one_two_five(values: Sequence[float]) -> list[float]:
    """Round numbers from just below the least of some positive ones to just above the largest."""
    low, high = min(values), max(values)
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    first = max((tick for tick in ticks if tick <= low), default=low)
    last = min((tick for tick in ticks if tick >= high), default=high)
    return [tick for tick in ticks if first <= tick <= last]


def _short(value: float) -> str:
    """Three digits; whole numbers whole, nothing a dash, and next to nothing not a zero."""
    if not value:
        return "–"
    if abs(value) < 0.0005:
        return "< 0.001"
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 1 else f"{value:.3g}"


def _plain(axes: "Axes") -> None:
    axes.tick_params(labelsize=8, length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
