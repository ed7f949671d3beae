"""`Branch`: an engine that `StepPlayer` drives, with its recording and its view.

There are one or two of them, `Branches`: the engine itself, and its fork, which begins somewhere on
the way. Both are moved by one *position*; each knows which of its own steps that is.

Read next: `widgets/step_viewer.py`.
"""

from collections.abc import Iterator
from html import escape

import ipywidgets as widgets

from nanovllm_edu.core.html import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.widgets.step_viewer import StepViewer


class Branch:
    """One engine, one recorder, one view.

    Args:
        recorder: Around the engine.
        begin: Position of its first step.
        name: Shown above its view if there are two.
    """

    def __init__(self, recorder: Recorder, begin: int, name: str) -> None:
        self.recorder, self.begin, self.name = recorder, begin, name
        last = len(recorder) - 1
        self.viewer = StepViewer(recorder.recording, step=last, controls=False)
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

    def set_title(self, fork_begin: int | None) -> None:
        """A line above the view if there are two: its name, and what it did since the fork."""
        # Hidden, not taken out: a box that loses a child draws the others anew.
        self.title.layout.display = "none" if fork_begin is None else ""
        if fork_begin is None:
            return
        own = range(fork_begin - self.begin, self.viewer.step + 1)
        records = [self.recorder.record(index) for index in own]
        facts = [
            counted(len(records), "step"),
            counted(sum(len(r.new_tokens) for r in records), "token"),
            f"{sum(len(r.preempted) for r in records)} preempted",
            f"{sum(len(r.finished) for r in records)} finished",
        ]
        self.title.value = f"<b>{escape(self.name)}</b>, since the fork: {', '.join(facts)}"

    def close(self) -> None:
        """Frees the engine's memory and takes the view away."""
        self.recorder.engine.close()
        self.column.close()
        self.viewer.close()


class Branches:
    """The engine, and its fork if there is one."""

    def __init__(self, main: Branch) -> None:
        self.main = main
        self.fork: Branch | None = None

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
            branch.set_title(self.fork.begin if self.fork else None)

    def set_temperature(self, temperature: float, seq_id: int | None) -> None:
        """In both; a sequence that finished in the fork is left alone there."""
        for branch in self:
            branch.set_temperature(temperature, seq_id, is_lenient=branch is self.fork)
