"""`StepPlayer`: a live engine under your hands, as a widget: the buttons above, the view below.

Everything that the buttons do is a method, so it works from a cell as well. Read next:
`widgets/player.py`, the verbs; `widgets/controls.py`, the buttons.
"""

from html import escape
from typing import Any

import ipywidgets as widgets

from nanovllm_edu.core import html
from nanovllm_edu.widgets.cells import CellHooks, close_with_parts
from nanovllm_edu.widgets.controls import Controls
from nanovllm_edu.widgets.player import Player


class StepPlayer(Player, widgets.VBox):
    """Drives an engine and shows every step.

    Args:
        engine: An `LLM` or an `LLMEngine`. From now on, step it with this player.
        level: How much is shown at first: "basic", "why" or "everything" (see `StepViewer`).
    """

    def __init__(self, engine: Any, level: str = "everything") -> None:
        Player.__init__(self, engine, level)
        self.controls = Controls(self, block_size=self.engine.runner.block_size)
        self._views = widgets.Box(layout=widgets.Layout(width="100%", flex_flow="row wrap"))
        rows = [*self.controls.rows, self.controls.status, self._views]
        # Visible: inside a box that scrolls, the row of buttons could not stay in sight.
        layout = widgets.Layout(overflow="visible")
        widgets.VBox.__init__(self, rows, layout=layout)
        self._hooks = CellHooks(self.close, self.look_again)
        self.go_to(self.position)

    def close(self) -> None:
        """Takes everything off the screen and out of memory, but for the engine that was given.

        The cell that made the player does it by itself when it runs again.
        """
        self._hooks.remove()
        self.release()
        close_with_parts(self)

    def refresh(self) -> None:
        """The buttons follow; one view in full width, or two side by side where both have room."""
        columns = [branch.column for branch in self._branches]
        for column in columns:
            column.layout.flex = "1 1 100%" if len(columns) == 1 else "1 1 400px"
        if list(self._views.children) != columns:
            self._views.children = columns
        self.controls.refresh()

    def say(self, text: str, is_error: bool = False) -> None:
        """Under the buttons."""
        super().say(text, is_error)
        colour = html.BAD if is_error else "inherit"
        role = "alert" if is_error else "status"
        self.controls.status.value = (
            f'<span role="{role}" style="color:{colour}">{escape(text)}</span>'
        )

    def __repr__(self) -> str:
        return f"StepPlayer({self.recording!r})" if self._open else "StepPlayer(closed)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, with a text form that is the same on every run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**(bundle or {}), "text/plain": repr(self)}
