"""How a page shows the value of a cell: as plain data, of which the page makes elements.

    {"kind": "text", "text": ...}                       as it is
    {"kind": "html", "html": ...}                       tables, messages, pictures of this package
    {"kind": "code", "place": ..., "code": ...}         `show_source`
    {"kind": "prediction", "question", "options"}       buttons
    {"kind": "view", "document": ..., "level": ...}     the linked view of a recording

It knows nothing of cells. Used by `cells.py`.
"""

from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.lessons.prediction import Prediction
from nanovllm_edu.lessons.recorded import RecordedFigures
from nanovllm_edu.lessons.source import SourceView

Output = dict[str, Any]


class Shown:
    """A recording to be looked at; it takes the place of the widget that `show` returns.

    Args:
        recording: Which one.
        level: How much is shown at first: "basic", "why" or "everything".
    """

    def __init__(self, recording: Recording, level: str = "everything") -> None:
        self.recording, self.level = recording, level

    def __repr__(self) -> str:
        return f"StepViewer({self.recording!r})"


def output_of(value: Any) -> Output:
    """A value as a notebook would show it: the richest form that it has."""
    match value:
        case Shown():
            return {"kind": "view", "document": encode_view(value.recording), "level": value.level}
        case Prediction():
            options, picked = list(value.options), value.picked
            return {"kind": "prediction", "question": value.question, "options": options,
                    "picked": picked}  # fmt: skip
        case SourceView():
            return {"kind": "code", "place": value.place, "code": value.code}
        case RecordedFigures() if value.rows:
            title = repr(value).partition("\n")[0]
            return {"kind": "html", "html": html.table(title, value.header, value.rows)}
    for name in ("_repr_svg_", "_repr_html_"):
        if (show := getattr(value, name, None)) and not isinstance(value, type):
            return {"kind": "html", "html": show()}
    return {"kind": "text", "text": repr(value)}
