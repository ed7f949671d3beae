"""Widgets for notebooks: `show` a recording, or drive a live engine with `StepPlayer`.

Importing this package needs ipywidgets and anywidget; nothing below it does.
"""

from nanovllm_edu.widgets.step_player import StepPlayer
from nanovllm_edu.widgets.step_viewer import StepViewer, show

__all__ = ["StepPlayer", "StepViewer", "show"]
