"""`Branch`: an engine that `StepPlayer` drives, with its recording and its view.

There are one or two of them, `Branches`: the engine itself, and its fork, which goes its own way
from some step on. Both are moved by one *position*. A fork whose sequences went on where they were
has the steps before it as its own history; one whose sequences are computed anew begins there.

Read next: `widgets/step_viewer.py`.
"""

from collections.abc import Iterator
from html import escape

import ipywidgets as widgets

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.widgets.cells import close_with_parts
from nanovllm_edu.widgets.step_viewer import StepViewer

ONE_LINE = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"


class Branch:
    """One engine, one recorder, one view.

    Args:
        recorder: Around the engine.
        begin: Position of its first step.
        name: Shown above its view if there are two.
        level: How much its view shows.
    """

    def __init__(self, recorder: Recorder, begin: int, name: str, level: str) -> None:
        self.recorder, self.begin, self.name = recorder, begin, name
        last = len(recorder) - 1
        self.viewer = StepViewer(recorder.recording, step=last, controls=False, level=level)
        self.viewer.layout.width = "100%"
        self.title = widgets.HTML()
        self.column = widgets.VBox([self.title, self.viewer], layout=widgets.Layout(min_width="0"))

    @property
    def last(self) -> int:
        """Position of its newest step."""
        return self.begin + len(self.recorder) - 1

    @property
    def position(self) -> int:
        """Where its view is."""
        return self.begin + self.viewer.step

    @property
    def has_work(self) -> bool:
        """Whether any of its sequences waits or runs."""
        return self.recorder.engine.has_unfinished_requests()

    def record(self, position: int) -> StepRecord | None:
        """The step at a position, if it has one there."""
        return self.recorder.record(position - self.begin) if self._is_own(position) else None

    def _is_own(self, position: int) -> bool:
        return self.begin <= position <= self.last

    def advance_to(self, position: int) -> None:
        """Steps the engine until it has been there, or has nothing left to do."""
        while self.last < position and self.has_work:
            self.recorder.step()

    def shown_for(self, position: int) -> int:
        """The position that it can show: its beginning or its end if there is nothing there."""
        return max(self.begin - 1, min(position, self.last))

    def show(self, position: int) -> None:
        """Moves its view, after telling it what is new."""
        self.refresh()
        self.viewer.step = self.shown_for(position) - self.begin

    def refresh(self) -> None:
        """Tells the view what is new."""
        self.viewer.append(self.recorder.recording)

    def set_temperature(self, temperature: float, seq_id: int | None, is_lenient: bool) -> None:
        """For one sequence or all. `is_lenient`: the sequence may have finished here already."""
        unfinished = sorted(self.recorder.engine.unfinished_seq_ids())
        chosen = unfinished if seq_id is None else [seq_id]
        for chosen_id in chosen:
            if chosen_id in unfinished or not is_lenient:
                self.recorder.update_request(chosen_id, temperature=temperature)

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
        facts = [self._facts(since)]
        if since <= self.position:
            facts.append(
                "the same so far" if differs is None else f"differs from step {differs} on"
            )
        # One line, so that both views begin at the same height.
        text = f"<b>{escape(self.name)}</b>, since the fork: {', '.join(facts)}"
        self.title.value = f'<div style="{ONE_LINE}" title="{escape(self.name)}">{text}</div>'

    def _facts(self, since: int) -> str:
        own = range(since - self.begin, self.viewer.step + 1)
        records = [self.recorder.record(index) for index in own]
        facts = [
            counted(len(records), "step"),
            counted(sum(len(tokens) for r in records for tokens in r.new_tokens.values()), "token"),
            f"{sum(len(r.preempted) for r in records)} preempted",
            f"{sum(len(r.finished) for r in records)} finished",
        ]
        return ", ".join(facts)

    def close(self) -> None:
        """Takes the view away, with all its parts."""
        self.viewer.close()
        close_with_parts(self.column)


class Branches:
    """The engine, and its fork if there is one."""

    def __init__(self, main: Branch) -> None:
        self.main = main
        self.fork: Branch | None = None
        self.since = 0
        """Position of the first step after the fork."""

    def __iter__(self) -> Iterator[Branch]:
        yield self.main
        if self.fork is not None:
            yield self.fork

    @property
    def last(self) -> int:
        """The newest position of either."""
        return max(branch.last for branch in self)

    @property
    def has_work(self) -> bool:
        """Whether any sequence of either waits or runs."""
        return any(branch.has_work for branch in self)

    def advance_to(self, position: int) -> list[StepRecord]:
        """Steps both until they have been there; returns what happened there."""
        for branch in self:
            branch.advance_to(position)
        return [record for branch in self if (record := branch.record(position))]

    def show(self, position: int) -> None:
        """Moves both views, and says above them what each did since the fork."""
        for branch in self:
            branch.show(position)
        since = self.since if self.fork else None
        differs = self._first_difference(position) if self.fork else None
        for branch in self:
            branch.tell(since, differs)

    def _first_difference(self, position: int) -> int | None:
        """The first step up to a position that the two took differently."""
        for at in range(self.since, position + 1):
            one, other = (branch.record(at) for branch in self)
            if one != other:
                return at
        return None

    def set_temperature(self, temperature: float, seq_id: int | None) -> None:
        """In both; a sequence that finished in the fork is left alone there."""
        for branch in self:
            branch.set_temperature(temperature, seq_id, is_lenient=branch is self.fork)
