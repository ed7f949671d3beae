"""What draws a lesson's pictures where matplotlib is not: the few calls that they make, as SVG.

`lessons/pictures.py` and `lessons/charts.py` ask matplotlib for rectangles, texts, bars and lines.
A page's Python has none, for it is larger than all the rest together. So here are the same calls
under the same names; what only polishes a picture is accepted and ignored. `introspect/plot.py`
gives the SVG its words and the page's colours, as it does to matplotlib's.

It knows nothing of engines. Used by `cells.py`.
"""

from contextlib import nullcontext
from types import ModuleType
from typing import Any, TextIO

from nanovllm_edu.live.axes import Axes, Polish, Rectangle
from nanovllm_edu.live.panel import Panel, hatches, text

INCH = 80
"""Pixels."""


class Figure(Polish):
    """Panels side by side.

    Args:
        size: Width and height in inches.
        num_panels: How many.
    """

    def __init__(self, size: tuple[float, float], num_panels: int) -> None:
        self.width, self.height = round(size[0] * INCH), round(size[1] * INCH)
        self.axes = [Axes() for _ in range(num_panels)]
        self.title = ""

    def suptitle(self, title: str, **_: Any) -> None:
        """A title above all panels."""
        self.title = title

    def savefig(self, target: TextIO, **_: Any) -> None:
        """Writes the picture as SVG, on no paper."""
        top = 22 if self.title else 0
        each = self.width / len(self.axes)
        parts = [text(6, 15, self.title, 12, "start")] * bool(self.title)
        for i, axes in enumerate(self.axes):
            axes.fit(self.axes[0])
            parts.append(Panel(axes, i * each, top, each, self.height - top).svg())
        target.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}"><defs>{hatches()}</defs>'
            f'<g style="white-space:pre">{"".join(parts)}</g></svg>'
        )


def subplots(
    rows: int = 1,
    columns: int = 1,
    *,
    figsize: tuple[float, float] = (6.4, 4.8),
    squeeze: bool = True,
    **_: Any,
) -> tuple[Figure, Any]:
    """`pyplot.subplots`, for one row of panels, which share the first one's y axis."""
    assert rows == 1, "pictures are one row of panels"
    figure = Figure(figsize, columns)
    return figure, figure.axes[0] if squeeze and columns == 1 else [figure.axes]


def modules() -> dict[str, ModuleType]:
    """The modules that a picture imports, by name."""
    names = ("matplotlib", "matplotlib.pyplot", "matplotlib.patches")
    made = {name: ModuleType(name) for name in names}
    package, pyplot, patches = made.values()
    vars(package).update(pyplot=pyplot, patches=patches, rc_context=nullcontext, __path__=[])
    vars(pyplot).update(subplots=subplots, close=lambda _: None)  # its cell shows it
    vars(patches).update(Rectangle=Rectangle)
    return made
