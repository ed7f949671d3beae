"""`predict`: say what will happen before running the cell; the next cell settles it.

    bet = predict("How many blocks will it take?", 3, 4, 5)
    ...
    bet.reveal(len(state.block_tables[0]), because="9 tokens fill two blocks and start a third")

The answer comes from the live engine, so it stands nowhere in the question. In a running notebook
the options are buttons (ipywidgets); stored and exported they are a plain list, always the same. An
answer that nobody has bet on stays folded until it is clicked, and the cell that reveals it, whose
`because` would give it away, is stored folded too.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Any

from nanovllm_edu.core import html

_EDGES = {
    "border_top": f"1px solid {html.LINE}",
    "border_right": f"1px solid {html.LINE}",
    "border_bottom": f"1px solid {html.LINE}",
    "border_left": "4px solid var(--jp-warn-color1,#f9a825)",
    "padding": "6px 12px",
    "margin": "4px 0",
}
_BOX = "".join(f"{name.replace('_', '-')}:{value};" for name, value in _EDGES.items())
_BOX += f"color:{html.INK}"

_PLOTS_FIT = "<style>.jp-RenderedSVG img { max-width: 100%; height: auto }</style>"
"""JupyterLab shows a plot as an image as wide as it was drawn, however narrow the cell. Only
a style of the page makes it smaller, and a lesson's first thing with one is a prediction."""


@dataclass(eq=False)
class Prediction:
    """A question with options, and which one the learner picked (None: not yet)."""

    question: str
    options: tuple[str, ...]
    picked: str | None = None
    _widget: Any = field(default=None, repr=False)

    def pick(self, option: object) -> None:
        """Picks an option; clicking one does the same."""
        if str(option) not in self.options:
            raise ValueError(f"{option!r} is none of the options {', '.join(self.options)}.")
        self.picked = str(option)

    def reveal(self, answer: object, because: str = "") -> "Reveal":
        """Compares the pick with what really happened."""
        if str(answer) not in self.options:
            raise ValueError(f"the answer {answer!r} is none of {', '.join(self.options)}.")
        return Reveal(self.picked, str(answer), because)

    def __repr__(self) -> str:
        listed = "\n".join(f"  {letter}) {text}" for letter, text in self._lettered())
        return f"Predict: {self.question}\n{listed}"

    def _repr_html_(self) -> str:
        listed = "".join(f"<div>{a}) {escape(text)}</div>" for a, text in self._lettered())
        return f'<div style="{_BOX}"><b>Predict.</b> {escape(self.question)}{listed}</div>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        view = self._radio_buttons()._repr_mimebundle_() or {}
        key = "application/vnd.jupyter.widget-view+json"
        return plain | ({key: view[key]} if key in view else {})

    def _lettered(self) -> list[tuple[str, str]]:
        return [(chr(ord("a") + i), option) for i, option in enumerate(self.options)]

    def _radio_buttons(self) -> Any:
        import ipywidgets

        if self._widget is None:
            title = ipywidgets.HTML(f"{_PLOTS_FIT}<b>Predict.</b> {escape(self.question)}")
            buttons = ipywidgets.RadioButtons(
                options=self.options, value=self.picked, layout={"width": "max-content"}
            )
            buttons.observe(lambda change: self.pick(change["new"]), "value")
            self._widget = ipywidgets.VBox([title, buttons], layout=_EDGES)
        return self._widget


@dataclass(frozen=True, slots=True)
class Reveal:
    """What really happened, beside what was predicted."""

    picked: str | None
    answer: str
    because: str

    def __repr__(self) -> str:
        return f"{self._verdict}{self.answer}" + (f": {self.because}" if self.because else "")

    def _repr_html_(self) -> str:
        because = f"<div>{escape(self.because)}</div>" if self.because else ""
        answer = f"{escape(self._verdict)}<b>{escape(self.answer)}</b>"
        if self.picked is None:
            summary = '<summary style="cursor:pointer">Show the answer</summary>'
            return f'<details style="{_BOX}">{summary}{answer}{because}</details>'
        return f'<div style="{_BOX}">{answer}{because}</div>'

    @property
    def _verdict(self) -> str:
        if self.picked is None:
            return "Answer: "
        if self.picked == self.answer:
            return "✓ As you predicted: "
        return f"You predicted {self.picked}; it is "


def predict(question: str, *options: object) -> Prediction:
    """Asks before the cell is run.

    Args:
        question: One sentence.
        *options: Two or more; shown as text.
    """
    assert len(options) >= 2, "a prediction needs a choice"
    return Prediction(question, tuple(str(option) for option in options))
