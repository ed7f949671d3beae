"""`Plot`: a matplotlib figure that takes the colours of the page around it, and says what it shows.

In a notebook, on the site and in VS Code it is an SVG. matplotlib draws with the inks below; in
the SVG they become the text colour of the page, whole or thinned, and the paper is left out. An
image that stands alone, as in JupyterLab, is light or dark as the element that shows it.

    plot.figure.savefig("plot.png")     as with any figure

It knows nothing of what is drawn. Read next: `introspect/figures.py`.
"""

import re
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, PALE = "#1d2530", "#5f6b7a", "#c3cad4", "#f1f3f6"
"""For text; for text that matters less; for frames and grids; for areas. Other colours stay."""

THINNED = {"#000000": 100, INK: 100, MUTED: 75, LINE: 28, PALE: 7}
"""Ink -> percent of the page's text colour."""

STYLE = (
    "svg:root{color-scheme:light dark;color:light-dark(#1d2530,#e3e8ee)}"
    "svg *{stroke-linejoin:round}"
)
ROOT = (
    'role="img" aria-label="{words}" fill="currentColor" '
    'style="max-width:100%;height:auto;font-family:system-ui,sans-serif"'
)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and its words.

    Attributes:
        figure: Of matplotlib.
        title: A short name.
        words: What there is to see, for those who do not see it.
    """

    figure: "Figure"
    title: str
    words: str

    def svg(self) -> str:
        """The picture in the colours of the page that it becomes part of."""
        from matplotlib import rc_context

        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # each drawing would move everything a little
        drawn, nothing = StringIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
        # Text stays text; equal figures give equal files.
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": self.title}):
            self.figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
        return _tidy(drawn.getvalue(), f"{self.title}: {self.words}")

    def __repr__(self) -> str:
        return f"<Plot: {self.title}>"

    def _repr_svg_(self) -> str:
        return self.svg()


def _tidy(svg: str, words: str) -> str:
    """Smaller, without names for every stroke, and with the page's inks."""
    svg = re.sub(
        r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL
    )
    svg = re.sub(r' id="[^"]*_[^"]*"| transform="rotate\(-0 [^"]*"|font-family: [^;"]*; ?', "", svg)
    in_a_tag = r"-?\d+\.\d{3,}(?=[^<>]*>)"  # what is written keeps its digits
    svg = re.sub(in_a_tag, lambda number: f"{float(number[0]):.1f}", svg)
    svg = re.sub(r"\s*\n\s*|<defs>\s*</defs>", " ", svg)
    svg = re.sub(r"> <|<g ?/>", lambda gap: "><" if gap[0] == "> <" else "", svg)
    for ink, percent in THINNED.items():
        thin = f"color-mix(in srgb, currentColor {percent}%, transparent)"
        svg = svg.replace(ink, "currentColor" if percent == 100 else thin)
    root, inside = svg.strip().split(">", 1)
    return f"{root} {ROOT.format(words=escape(words))}><style>{STYLE}</style>{inside}"
