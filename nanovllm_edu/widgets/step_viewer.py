"""`StepViewer`: the linked view as a widget (an anywidget: traits plus one ES module).

The recording travels once, when a view opens; after that only what is new does. It travels as
differences between states, so moving through a recording needs no kernel.

Read next: `viewer/js/main.js`; `widgets/step_player.py`, which drives an engine.
"""

from itertools import islice
from typing import Any, Self

import anywidget
import traitlets

from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.view import View
from nanovllm_edu.viewer.source import viewer_script, viewer_style
from nanovllm_edu.widgets.cells import CellHooks, close_with_parts


class StepViewer(anywidget.AnyWidget):
    """Shows one recording.

    Attributes:
        step: The step that is shown; -1 is the moment before the first.
        sequence: The selected seq_id, or None.
        controls: Whether the view has buttons and a slider of its own.
        level: What is shown at first: "basic" (text, timeline, blocks), "why" (the reasons too) or
            "everything". What the reader chooses is kept by the browser, and comes before this.
    """

    _esm = viewer_script()
    _css = viewer_style()

    # Never assigned: a view that opens asks for it, and gets whatever is recorded by then.
    recording = traitlets.Any().tag(sync=True, to_json=lambda _, widget: widget.document())
    step = traitlets.Int(0).tag(sync=True)
    sequence = traitlets.Int(None, allow_none=True).tag(sync=True)
    controls = traitlets.Bool(True).tag(sync=True)
    level = traitlets.Enum(["basic", "why", "everything"], "everything").tag(sync=True)

    fork = traitlets.Dict().tag(sync=True)
    """`at`: the first step after a fork; `differs`: the first one that differs from the other's."""

    def __init__(self, recording: Recording, **traits: Any) -> None:
        self._recording: Recording | None = recording
        self._view: View | None = View(recording)
        self._text = repr(recording)
        self._hooks: CellHooks | None = None
        super().__init__(**traits)
        self.on_msg(self._on_message)

    def close_with_its_cell(self) -> Self:
        """It closes when the cell that runs now runs again."""
        self._hooks = CellHooks(self.close)
        return self

    def close(self) -> None:
        """Takes the view off the screen, and the recording out of memory."""
        if self._hooks:
            self._hooks.remove()
        self._recording = self._view = None
        close_with_parts(self)

    def document(self) -> dict[str, Any]:
        """What a view that opens now receives."""
        assert self._view is not None, "a closed view opens nowhere"
        return self._view.document()

    def append(self, recording: Recording) -> None:
        """Takes in a longer version of the same recording, and sends what is new."""
        before, self._recording, self._text = self._recording, recording, repr(recording)
        assert before is not None and self._view is not None
        self._view.extend(recording)
        if len(recording.journal) > len(before.journal):
            self._send_from(len(before.journal), first_piece=len(before.pieces))

    def _on_message(self, _: Any, message: Any, buffers: Any) -> None:
        """A view asks for what it lacks: until its module is loaded it hears no messages."""
        if isinstance(message, dict) and message.get("type") == "need":
            self._send_from(int(message["first"]))

    def _send_from(self, first: int, first_piece: int = 0) -> None:
        """Journal entries and pieces of text, each from a place on; both only ever grow."""
        assert self._recording is not None and self._view is not None
        pieces = self._recording.pieces
        self.send(
            {
                "type": "append",
                "first": first,
                "entries": self._view.entries[first:],
                "pieces": {str(i): pieces[i] for i in islice(pieces, first_piece, None)},
            }
        )

    def __repr__(self) -> str:
        return f"StepViewer({self._text})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """anywidget's, with a text form that is the same on every run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return {"text/plain": repr(self)}
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self)}, metadata


def show(recording: Recording, level: str = "everything") -> StepViewer:
    """The linked view of a recording, at its first step.

    Args:
        recording: What to show.
        level: See `StepViewer`.
    """
    viewer = StepViewer(recording, step=min(0, len(recording) - 1), level=level)
    return viewer.close_with_its_cell()
