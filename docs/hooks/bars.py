"""Bar charts as inline SVG: no script, the page's own colours, as wide as there is room.

Labels stand above their bars, so a chart reads as well on a phone. Kinds differ in texture, too.
"""

from dataclasses import dataclass
from html import escape

ROW, GAP, HEAD, BAR = 34, 10, 26, 12
PATTERN = (
    '<defs><pattern id="{0}" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" class="bar-floor-back"/>'
    '<rect width="3" height="6" class="bar-floor-line"/></pattern></defs>'
)


@dataclass(frozen=True)
class Bar:
    """One bar. `kind` is ours, floor, target or other."""

    label: str
    value: float
    kind: str
    note: str = ""


def chart(name: str, caption: str, unit: str, groups: dict[str, list[Bar]]) -> str:
    """A figure: for each group a heading (if it has a name) and its bars, all on one scale."""
    largest = max(bar.value for bars in groups.values() for bar in bars)
    parts, y = [PATTERN.format(f"floor-{name}")], 0
    for heading, bars in groups.items():
        if heading:
            y += HEAD
            parts.append(f'<text x="0" y="{y - 8}" class="bar-heading">{escape(heading)}</text>')
        for bar in bars:
            parts.append(_row(bar, y, largest, unit, f"floor-{name}"))
            y += ROW
        y += GAP
    words = escape(_words(caption, unit, groups))
    return (
        f'<figure class="drawn bars"><svg role="img" aria-label="{words}"'
        f' width="100%" height="{y - GAP}">{"".join(parts)}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _row(bar, y, largest, unit, pattern):
    width = max(100 * bar.value / largest, 0.3)
    fill = f' fill="url(#{pattern})"' if bar.kind == "floor" else ""
    note = f' <tspan class="bar-note">{escape(bar.note)}</tspan>' if bar.note else ""
    return (
        f'<text x="0" y="{y + 13}"><tspan class="bar-label">{escape(bar.label)}</tspan> '
        f'<tspan class="bar-value">{number(bar.value)} {unit}</tspan>{note}</text>'
        f'<rect x="0" y="{y + 18}" width="{width:.2f}%" height="{BAR}" rx="2"'
        f' class="bar-{bar.kind}"{fill}/>'
    )


def _words(caption, unit, groups):
    """The chart as a sentence, for those who do not see it."""
    said = [
        f"{heading}: " * bool(heading)
        + ", ".join(f"{bar.label} {number(bar.value)} {unit}" for bar in bars)
        for heading, bars in groups.items()
    ]
    return f"{caption} {'; '.join(said)}."
