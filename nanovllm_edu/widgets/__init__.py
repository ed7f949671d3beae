"""Widgets for notebooks: `StepViewer` shows a recording, `StepPlayer` drives a live engine.

Importing this package needs ipywidgets and anywidget; nothing below it does.
"""

from nanovllm_edu.widgets.step_player import StepPlayer
from nanovllm_edu.widgets.step_viewer import StepViewer

__all__ = ["StepPlayer", "StepViewer"]
