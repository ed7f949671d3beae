"""What a widget does when a cell of its notebook runs: it closes before its own runs again.

ipywidgets keeps every widget that was ever made, and with it all that the widget holds: an engine,
for a player. A notebook shows only what the newest run of a cell made, so the rest can go. After
any other cell a widget may look again, for the engine can have been used there.

Outside IPython none of this happens.
"""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython


class CellHooks:
    """Registered with the shell until `remove`.

    Args:
        close: Called before the cell that runs now runs again.
        look_again: Called after any other cell.
    """

    def __init__(
        self, close: Callable[[], None], look_again: Callable[[], None] | None = None
    ) -> None:
        self._shell: Any = get_ipython()
        self._cell = _running_cell(self._shell)
        self._close, self._look_again = close, look_again
        if self._cell is not None:
            self._shell.events.register("pre_run_cell", self._before)
            self._shell.events.register("post_run_cell", self._after)

    def remove(self) -> None:
        """Nothing happens any more."""
        if self._cell is not None:
            self._cell = None
            self._shell.events.unregister("pre_run_cell", self._before)
            self._shell.events.unregister("post_run_cell", self._after)

    def _before(self, info: Any) -> None:
        if self._cell in (info.cell_id, info.raw_cell):
            self._close()

    def _after(self, result: Any) -> None:
        if self._look_again and self._cell not in (result.info.cell_id, result.info.raw_cell):
            self._look_again()


def _running_cell(shell: Any) -> str | None:
    """The id of the cell that runs now, or its source where the front end sends no id."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    if not parent or parent.get("msg_type") != "execute_request":
        return None
    return parent.get("metadata", {}).get("cellId") or parent["content"]["code"]


def close_with_parts(widget: widgets.Widget) -> None:
    """Closes a widget and all that it is made of; `close` alone leaves the parts open."""
    parts = [getattr(widget, name) for name in ("layout", "style") if widget.has_trait(name)]
    for part in [*parts, *getattr(widget, "children", ())]:
        close_with_parts(part)
    widgets.Widget.close(widget)
    widget.unobserve_all()  # who observes it is somebody's memory
