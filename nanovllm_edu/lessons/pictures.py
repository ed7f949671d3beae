"""Still pictures of records and states, where a drawing says more than a table.

    timeline(records)    sequences x steps: who computed how many tokens when
    pool(state)          every physical block: whose it is, shared, cached or free

Colours are the viewer's, so that a sequence looks the same in both; colour-blind eyes can tell them
apart, and every colour comes with a number or a pattern. Drawn from what the engine returned, and
nothing else.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.plot import INK, LINE, MUTED, PALE, Plot
from nanovllm_edu.lessons.words import pool_in_words, timeline_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#2063a6", "#e58b1a", "#5acfb5", "#a61856", "#a2b6ec", "#7f5d1a", "#c4b974", "#7c29dc")
DARK = "#222222"
"""On a light colour, whatever the page's."""


def colour_of(seq_id: int) -> str:
    """The same colour for a sequence in every picture."""
    return PALETTE[seq_id % len(PALETTE)]


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return DARK if 0.3 * red + 0.59 * green + 0.11 * blue > 125 else "white"


def timeline(records: Sequence[StepRecord], title: str = "", names: Sequence[str] = ()) -> Plot:
    """One row per sequence, one column per step; the number is how many tokens were computed.

    Dark cells with a number are prefill, light cells decode (one token), cells with a dot wait.

    Args:
        records: The steps, in order.
        title: Above the picture.
        names: Label of each row; "seq 0", "seq 1", ... by default.
    """
    seq_ids = sorted({i for r in records for i in (*r.waiting, *(c.seq_id for c in r.spans))})
    width = min(11.0, 1.6 + 0.32 * len(records))
    figure, axes = _canvas(width, 0.8 + 0.32 * len(seq_ids))
    for column, record in enumerate(records):
        for seq_id in record.waiting:
            _cell(axes, column, seq_ids.index(seq_id), PALE, "·", ink=MUTED)
        for span in record.spans:
            is_decode = kind_of(span) == "decode"
            label = "" if is_decode else str(span.num_tokens)
            alpha = 0.45 if is_decode else 1.0
            row, colour = seq_ids.index(span.seq_id), colour_of(span.seq_id)
            size = 8 if len(records) <= 36 else 6
            _cell(axes, column, row, colour, label, alpha=alpha, ink=ink_on(colour), size=size)
    _frame(axes, len(records), len(seq_ids), title)
    step = max(1, len(records) // 20)
    axes.set_xticks([i + 0.5 for i in range(0, len(records), step)])
    axes.set_xticklabels([str(records[i].step_id) for i in range(0, len(records), step)])
    axes.set_yticks([i + 0.5 for i in range(len(seq_ids))])
    axes.set_yticklabels(names or [f"seq {i}" for i in seq_ids])
    axes.set_xlabel("step   (dark: prefill, with its tokens · light: decode · dotted: waiting)")
    return Plot(figure, title, timeline_in_words(records, names))


def pool(state: EngineState, title: str = "", columns: int = 16) -> Plot:
    """Every physical block of the pool, row by row.

    Solid: used, with its sequence. Striped: nobody uses it, its content can be found. Blank: free.

    Args:
        state: From `engine.state()`.
        title: Above the picture.
        columns: Blocks in a row.
    """
    rows = -(-len(state.blocks) // columns)
    figure, axes = _canvas(min(11.0, 0.62 * columns + 0.2), 0.6 * rows + 0.7)
    users: dict[int, list[int]] = {}
    for seq_id, table in state.block_tables.items():
        for block_id in table:
            users.setdefault(block_id, []).append(seq_id)
    for block in state.blocks:
        row, column = divmod(block.block_id, columns)
        owners = users.get(block.block_id, [])
        label = f"{block.block_id}\n{_owners(owners)}"
        if owners:
            _shared_cell(axes, column, row, [colour_of(i) for i in owners[:4]], label)
        elif block.state == "cached":
            _cell(axes, column, row, PALE, label, hatch="///")
        else:
            _cell(axes, column, row, "none", label, ink=MUTED)
    _frame(axes, columns, rows, title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("colours and s-numbers: who uses it · striped: cached · blank: free")
    return Plot(figure, title, pool_in_words(state))


def _owners(seq_ids: Sequence[int]) -> str:
    if len(seq_ids) <= 2:
        return "+".join(f"s{i}" for i in seq_ids)
    return f"s{seq_ids[0]} +{len(seq_ids) - 1}"


def _shared_cell(axes: "Axes", column: int, row: int, colours: Sequence[str], label: str) -> None:
    """A block with a strip for each of its first users; the label lies on the widest."""
    from matplotlib.patches import Rectangle

    _cell(axes, column, row, colours[0], "")
    for i, colour in enumerate(colours[1:]):
        left = column + 0.7 + 0.3 * i / len(colours[1:])
        width = 0.3 / len(colours[1:])
        axes.add_patch(Rectangle((left, row), width, 1, facecolor=colour, edgecolor="none"))
    middle = column + (0.5 if len(colours) == 1 else 0.36)
    axes.text(
        middle, row + 0.5, label, ha="center", va="center", fontsize=8, color=ink_on(colours[0])
    )


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    pyplot.close(figure)  # shown once, as a cell's value
    return figure, axes


def _cell(
    axes: "Axes",
    column: int,
    row: int,
    colour: str,
    label: str,
    *,
    alpha: float = 1.0,
    hatch: str | None = None,
    ink: str = INK,
    size: int = 8,
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (column, row), 1, 1, facecolor=colour, edgecolor=LINE, alpha=alpha, hatch=hatch, lw=0.8
        )
    )
    axes.text(column + 0.5, row + 0.5, label, ha="center", va="center", fontsize=size, color=ink)


def _frame(axes: "Axes", columns: int, rows: int, title: str) -> None:
    axes.set_xlim(-0.02, columns + 0.02)  # the edges of the outermost cells, too
    axes.set_ylim(rows + 0.02, -0.02)
    axes.tick_params(length=0, labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.set_title(title, fontsize=10, loc="left")
    for spine in axes.spines.values():
        spine.set_visible(False)
