"""`StepPlayer`: a live engine under your hands.

Step it, go back through what was recorded, run to a breakpoint, add a prompt, and fork it: another
policy or block size goes on from the same moment, side by side.

Everything that the buttons do is a method, so it works from a cell as well. Read next:
`widgets/controls.py`, the buttons; `widgets/step_viewer.py`, the view.
"""

import asyncio
from html import escape
from typing import Any

import ipywidgets as widgets

from nanovllm_edu.core.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.introspect.breakpoints import find_breakpoint
from nanovllm_edu.widgets.controls import Controls
from nanovllm_edu.widgets.step_viewer import StepViewer

POLICIES = {"mixed": MixedPolicy, "phase-separated": PhaseSeparatedPolicy}
MAX_STEPS = 5000
"""A run to a breakpoint gives up after so many steps."""
SECONDS_PER_STEP = 0.4


class StepPlayer(widgets.VBox):
    """Drives an engine and shows every step.

    Args:
        engine: An `LLM` or an `LLMEngine`. From now on, step it with this player.
    """

    def __init__(self, engine: Any) -> None:
        self.recorder = Recorder(engine)
        self.forked: Recorder | None = None
        self.viewer = _new_viewer(self.recorder)
        self.fork_viewer: StepViewer | None = None
        self.controls = Controls(self, block_size=self.engine.runner.block_size)
        self._playing: asyncio.Task[None] | None = None
        self._views = widgets.Box([self.viewer], layout=widgets.Layout(width="100%"))
        self.viewer.layout.width = "100%"
        super().__init__([self.controls, self._views])
        self.viewer.observe(self._on_view_moved, "step")
        self._refresh()

    @property
    def engine(self) -> LLMEngine:
        """The engine that is driven."""
        return self.recorder.engine

    @property
    def recording(self) -> Recording:
        """Everything so far."""
        return self.recorder.recording

    # ---------------------------------------------------------------------- the verbs

    def step(self) -> None:
        """Goes one step forward: through the recording, and at its end with the engine."""
        if self.viewer.step < len(self.recorder) - 1:
            self.viewer.step += 1
            return
        if not self._step_engines():
            self._say("Nothing is left to do: add a prompt.")
            return
        self._refresh()
        self.viewer.step = len(self.recorder) - 1

    def back(self) -> None:
        """Goes one step back; the engine stays where it is."""
        self.viewer.step = max(-1, self.viewer.step - 1)

    def go_to(self, step: int) -> None:
        """Shows a recorded step."""
        self.viewer.step = max(-1, min(step, len(self.recorder) - 1))

    def run_to(self, breakpoint_name: str) -> None:
        """Steps until a breakpoint of `introspect.breakpoints.BREAKPOINTS`."""
        is_there = find_breakpoint(breakpoint_name)
        at = self.viewer.step + 1
        for _ in range(MAX_STEPS):
            if at == len(self.recorder) and not self._step_engines():
                self._say(f"Nothing is left to do, and no further {breakpoint_name} came.")
                break
            record = self.recorder.record(at)
            if is_there(record):
                self._say(f"Stopped after step {record.step_id}: {breakpoint_name}.")
                break
            at += 1
        self._refresh()
        self.viewer.step = min(at, len(self.recorder) - 1)

    def add_prompt(self, text: str, temperature: float = 0.0, max_tokens: int = 32) -> int:
        """Queues a request, in the fork too. Without a tokenizer the text is token ids."""
        params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
        prompt = text if self.engine.tokenizer else [int(part) for part in text.split()]
        seq_id = self.recorder.add_request(prompt, params)
        if self.forked is not None:
            self.forked.add_request(prompt, params)
        self._refresh()
        self._say(f"Sequence {seq_id} waits.")
        return seq_id

    def fork(self, **changes: Any) -> Recorder:
        """Goes on with a copy of the engine as well, from its newest step, and shows both.

        Args:
            **changes: Options that `engine.fork` can change, such as `policy` or `block_size`.
        """
        self.forked = Recorder(self.engine.fork(**changes))
        self.fork_viewer = _new_viewer(self.forked)
        for viewer in (self.viewer, self.fork_viewer):
            viewer.layout.width = "50%"
        self._views.children = (self.viewer, self.fork_viewer)
        names = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "no change"
        self._say(f"Forked with {names}: the copy is on the right. Step moves both.")
        return self.forked

    def play(self, is_on: bool) -> None:
        """Starts or stops taking a step now and then (needs a running event loop)."""
        if self._playing:
            self._playing.cancel()
            self._playing = None
        if is_on:
            self._playing = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        while self._has_work() or self.viewer.step < len(self.recorder) - 1:
            self.step()
            await asyncio.sleep(SECONDS_PER_STEP)
        self.controls.play.value = False

    # ------------------------------------------------------------------------ inside

    def _has_work(self) -> bool:
        return any(recorder.engine.has_unfinished_requests() for recorder in self._recorders())

    def _recorders(self) -> list[Recorder]:
        return [self.recorder] if self.forked is None else [self.recorder, self.forked]

    def _step_engines(self) -> bool:
        """One step of the engine and of its fork. False if neither had work."""
        if not self._has_work():
            return False
        for recorder in self._recorders():
            # An engine without work takes an empty step, so that both stay in step.
            recorder.step()
        return True

    def _refresh(self) -> None:
        self.viewer.append(self.recorder.recording)
        if self.forked is not None and self.fork_viewer is not None:
            self.fork_viewer.append(self.forked.recording)
            self.fork_viewer.step = len(self.forked) - 1
        self.controls.refresh(self.viewer.step, len(self.recorder))

    def _on_view_moved(self, _: Any) -> None:
        self.controls.refresh(self.viewer.step, len(self.recorder))
        if self.forked is not None and self.fork_viewer is not None:
            first = len(self.recorder) - len(self.forked)
            self.fork_viewer.step = max(-1, self.viewer.step - first)

    def attempt(self, verb: Any, *args: Any, **kwargs: Any) -> None:
        """Runs a verb for a button; a user's mistake becomes a message."""
        try:
            self._say("")
            verb(*args, **kwargs)
        except (NanoVLLMError, ValueError) as error:
            self._say(str(error), is_error=True)

    def _say(self, text: str, is_error: bool = False) -> None:
        colour = "var(--jp-error-color1, #b00020)" if is_error else "inherit"
        self.controls.status.value = (
            f'<span role="status" style="color:{colour}">{escape(text)}</span>'
        )

    def __repr__(self) -> str:
        return f"StepPlayer({self.recording!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, with a text form that is the same on every run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**(bundle or {}), "text/plain": repr(self)}


def _new_viewer(recorder: Recorder) -> StepViewer:
    return StepViewer(recorder.recording, step=len(recorder) - 1, controls=False)
