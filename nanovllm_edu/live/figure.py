"""What draws a lesson's pictures where matplotlib is not: the few calls that they make, as SVG.

`lessons/pictures.py` and `lessons/charts.py` ask matplotlib for rectangles, texts, bars and lines.
A page's Python has none, for it is larger than all the rest together. So here are the same calls
under the same names; what only polishes a picture is accepted and ignored.

It knows nothing of engines. Used by `cells.py`.
"""

from html import escape
from types import ModuleType
from typing import Any

from nanovllm_edu.live.axes import Axes, Rectangle
from nanovllm_edu.live.panel import Panel, hatches, text

INCH = 80
"""Pixels."""


class Figure:
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

    def _repr_svg_(self) -> str:
        top = 22 if self.title else 0
        each = self.width / len(self.axes)
        parts = [text(6, 15, self.title, 12, "start")] * bool(self.title)
        for i, axes in enumerate(self.axes):
            axes.fit(self.axes[0])
            parts.append(Panel(axes, i * each, top, each, self.height - top).svg())
        name = self.title or next((axes.title for axes in self.axes if axes.title), "a picture")
        size = f'width="{self.width}" height="{self.height}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(name)}" '
            f'viewBox="0 0 {self.width} {self.height}" {size} font-family="system-ui,sans-serif" '
            'style="white-space:pre">'
            f'<defs>{hatches()}</defs><rect {size} fill="white"/>{"".join(parts)}</svg>'
        )

    def __repr__(self) -> str:
        return f"<Figure size {self.width}x{self.height} with {len(self.axes)} Axes>"


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
    vars(package).update(pyplot=pyplot, patches=patches, __path__=[])
    vars(pyplot).update(subplots=subplots, close=lambda _: None)  # its cell shows it
    vars(patches).update(Rectangle=Rectangle)
    return made
