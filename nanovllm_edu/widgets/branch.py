"""`ShownBranch`: an engine that `StepPlayer` drives, with its recording and its view.

There are one or two of them: the engine itself, and its fork, which goes its own way from some step
on. What they do, `introspect/branch.py` says; here is what is seen of it.

Read next: `widgets/step_viewer.py`.
"""

from html import escape

import ipywidgets as widgets

from nanovllm_edu.introspect.branch import Branch, Branches
from nanovllm_edu.widgets.cells import close_with_parts
from nanovllm_edu.widgets.step_viewer import StepViewer

ONE_LINE = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


class ShownBranch(Branch):
    """One engine, one recorder, one view.

    Args:
        branch: The engine with its recorder.
        level: How much its view shows.
    """

    def __init__(self, branch: Branch, level: str) -> None:
        super().__init__(branch.recorder, branch.begin, branch.name)
        last = len(self.recorder) - 1
        self.viewer = StepViewer(self.recorder.recording, step=last, controls=False, level=level)
        self.viewer.layout.width = "100%"
        self.title = widgets.HTML()
        self.column = widgets.VBox([self.title, self.viewer], layout=widgets.Layout(min_width="0"))

    @property
    def position(self) -> int:
        """Where its view is."""
        return self.begin + self.viewer.step

    def show(self, position: int) -> None:
        """Moves its view, after telling it what is new."""
        self.refresh()
        self.viewer.step = self.shown_for(position) - self.begin

    def refresh(self) -> None:
        """Tells the view what is new."""
        self.viewer.append(self.recorder.recording)

    def tell(self, since: int | None, differs: int | None) -> None:
        """A line above the view if there are two, and marks in it.

        Args:
            since: Position of the first step after the fork; None: there is none.
            differs: Position of the first step in which the two differ, if there is one.
        """
        # Hidden, not taken out: a box that loses a child draws the others anew.
        self.title.layout.display = "none" if since is None else ""
        if since is None:
            self.viewer.fork = {}
            return
        differs_at = None if differs is None else differs - self.begin
        self.viewer.fork = {"at": since - self.begin, "differs": differs_at}
        facts = [self.facts(since, self.position)]
        if since <= self.position:
            facts.append(
                "the same so far" if differs is None else f"differs from step {differs} on"
            )
        # One line, so that both views begin at the same height.
        text = f"<b>{escape(self.name)}</b>, since the fork: {', '.join(facts)}"
        self.title.value = f'<div style="{ONE_LINE}" title="{escape(self.name)}">{text}</div>'

    def close(self) -> None:
        """Takes the view away, with all its parts."""
        self.viewer.close()
        close_with_parts(self.column)


class ShownBranches(Branches[ShownBranch]):
    """The engine with its view, and its fork if there is one."""

    def show(self, position: int) -> None:
        """Moves both views, and says above them what each did since the fork."""
        for branch in self:
            branch.show(position)
        since = self.since if self.fork else None
        differs = self.first_difference(position) if self.fork else None
        for branch in self:
            branch.tell(since, differs)
