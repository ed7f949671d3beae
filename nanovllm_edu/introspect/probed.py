"""What a probe saw: frozen data with a text, an HTML and a picture form.

It knows nothing of tensors. Read next: `introspect/probe.py`.
"""

from dataclasses import dataclass

from nanovllm_edu.core import html
from nanovllm_edu.introspect.plot import LINE, MUTED, Plot

BAR = "█"


@dataclass(frozen=True, slots=True)
class AttentionView:
    """The attention of one token, in one head of one layer.

    Attributes:
        seq_id: Its sequence.
        layer: Counted from 0.
        head: Counted from 0.
        weights: Weight of each position, the token's own last; they sum to 1.
        block_table: Physical blocks of the sequence.
        block_size: Positions per block.
        texts: The token at each position.
    """

    seq_id: int
    layer: int
    head: int
    weights: tuple[float, ...]
    block_table: tuple[int, ...]
    block_size: int
    texts: tuple[str, ...]

    def by_block(self) -> list[tuple[int | None, float]]:
        """(physical block, share of the attention) of each logical block.

        The block is None if the newest token is the first of one that is not allocated yet.
        """
        size, shares = self.block_size, []
        for start in range(0, len(self.weights), size):
            index = start // size
            block = self.block_table[index] if index < len(self.block_table) else None
            shares.append((block, sum(self.weights[start : start + size])))
        return shares

    def plot(self) -> Plot:
        """Weights by position; the block borders are lines."""
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
        plt.close(figure)
        axes.bar(range(len(self.weights)), self.weights, width=0.9, color="#3f7fd4")
        for index, (block, _) in enumerate(self.by_block()):
            left = index * self.block_size - 0.5
            axes.axvline(left, color=LINE, lw=0.8)
            name = "new" if block is None else f"block {block}"
            axes.annotate(name, (left, 1), (3, -9), xycoords=("data", "axes fraction"),
                          textcoords="offset points", fontsize=8, color=MUTED)  # fmt: skip
        axes.set_title(self._title(), loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("position")
        axes.set_ylabel("attention")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.2)
        shares = ", ".join(
            f"{share:.0%} to {'a new block' if block is None else f'block {block}'}"
            for block, share in self.by_block()
        )
        return Plot(figure, self._title(), shares)

    def _title(self) -> str:
        return (
            f"Attention of seq {self.seq_id}'s newest token: layer {self.layer}, head {self.head}"
        )

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = []
        for index, (block, share) in enumerate(self.by_block()):
            texts = self.texts[index * self.block_size : (index + 1) * self.block_size]
            name = "not allocated yet" if block is None else f"block {block}"
            rows.append((name, f"{share:.1%}", BAR * round(20 * share), "".join(texts)))
        return rows

    def __repr__(self) -> str:
        lines = [
            f"  {name:<18}{share:>7} {bar:<21}{text!r}" for name, share, bar, text in self._rows()
        ]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        return html.table(self._title(), ("block", "share", "", "tokens"), self._rows())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token and how likely it is."""

    token_id: int
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class SamplingStage:
    """The distribution after one stage: how many tokens are left, and the likeliest ones."""

    name: str
    num_left: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class SamplingView:
    """How the token at `position` is chosen; `chosen` is the one that the next step will sample."""

    seq_id: int
    position: int
    chosen: int
    chosen_text: str
    stages: tuple[SamplingStage, ...]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["token", *(f"{stage.name} ({stage.num_left} left)" for stage in self.stages)]
        tokens = {c.token_id: c.text for stage in self.stages for c in stage.candidates}
        rows = []
        for token_id, text in tokens.items():
            chances = [
                next((c.probability for c in stage.candidates if c.token_id == token_id), None)
                for stage in self.stages
            ]
            mark = " ←" if token_id == self.chosen else ""
            shown = ["" if chance is None else f"{chance:.2%}" for chance in chances]
            rows.append([f"{text!r}{mark}", *shown])
        return header, rows

    def _title(self) -> str:
        return f"Next token of seq {self.seq_id}, position {self.position}: {self.chosen_text!r}"

    def __repr__(self) -> str:
        header, rows = self._table()
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [header, *rows]
        ]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        header, rows = self._table()
        return html.table(self._title(), header, rows)
