"""`Player`: the verbs of a live engine under your hands; everything that the buttons do is one.

Step it, go back through what was recorded, run to a breakpoint, add a prompt, change a temperature,
and fork it at any step: another policy or block size goes on from that moment, side by side.

It knows no button: `StepPlayer` shows what it `say`s and where it stands. Read next:
`widgets/branch.py`, an engine with its recording and view; `widgets/step_player.py`.
"""

import asyncio
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, EngineClosedError, NanoVLLMError, RequestError
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.introspect.branch import Branch, fork_branch
from nanovllm_edu.introspect.breakpoints import find_breakpoint
from nanovllm_edu.introspect.rewind import Rewinder
from nanovllm_edu.widgets.branch import ShownBranch, ShownBranches
from nanovllm_edu.widgets.step_viewer import StepViewer

POLICIES = {"mixed": MixedPolicy, "phase-separated": PhaseSeparatedPolicy}
MAX_STEPS = 5000
"""A run to a breakpoint gives up after so many steps."""
SECONDS_PER_STEP = 0.4


class Player:
    """Drives an engine and records every step.

    Args:
        engine: An `LLM` or an `LLMEngine`. From now on, step it with this player.
        level: How much is shown at first: see `StepViewer`.

    Attributes:
        position: The step that is shown; a fork is shown at the same moment.
        said: What there is to say about the last verb.
    """

    def __init__(self, engine: Any, level: str = "everything") -> None:
        main = ShownBranch(Branch(Recorder(engine)), level)
        self._open: ShownBranches | None = ShownBranches(main)
        self._rewinder = Rewinder(self.engine)
        self.position = self._branches.last
        self.said = ""
        self._playing: asyncio.Task[None] | None = None
        self._watch(self._branches.main)
        self.viewer.observe(lambda change: self._select(change["new"]), "sequence")

    @property
    def _branches(self) -> ShownBranches:
        if self._open is None:
            raise EngineClosedError("this player is closed; make a new one.")
        return self._open

    @property
    def engine(self) -> LLMEngine:
        """The engine that is driven."""
        return self.recorder.engine

    @property
    def recorder(self) -> Recorder:
        """Its recorder."""
        return self._branches.main.recorder

    @property
    def recording(self) -> Recording:
        """Everything so far."""
        return self.recorder.recording

    @property
    def viewer(self) -> StepViewer:
        """The view of the engine."""
        return self._branches.main.viewer

    @property
    def forked(self) -> Recorder | None:
        """The recorder of the fork, if there is one."""
        fork = self._branches.fork
        return fork and fork.recorder

    @property
    def fork_viewer(self) -> StepViewer | None:
        """The view of the fork, if there is one."""
        fork = self._branches.fork
        return fork and fork.viewer

    @property
    def last(self) -> int:
        """The newest step of the engine or of its fork."""
        return self._branches.last

    # ---------------------------------------------------------------------- the verbs

    def step(self) -> None:
        """Goes one step forward: through the recording, and at its end with the engine."""
        if self.position == self.last and not self._branches.has_work:
            self.say("Nothing is left to do: add a prompt.")
            return
        self._branches.advance_to(self.position + 1)
        self.go_to(self.position + 1)

    def back(self) -> None:
        """Goes one step back; the engine stays where it is."""
        self.go_to(self.position - 1)

    def go_to(self, step: int) -> None:
        """Shows a recorded step."""
        self.position = max(-1, min(step, self.last))
        self._branches.show(self.position)
        self.refresh()

    def run_to(self, breakpoint_name: str) -> None:
        """Steps until a breakpoint of `introspect.breakpoints.BREAKPOINTS`, in either engine.

        Raises:
            ConfigError: There is no such breakpoint.
        """
        is_there = find_breakpoint(breakpoint_name)
        for at in range(self.position + 1, self.position + 1 + MAX_STEPS):
            if at > self.last and not self._branches.has_work:
                self.say(f"Nothing is left to do, and no further {breakpoint_name} came.")
                break
            if any(map(is_there, self._branches.advance_to(at))):
                self.say(f"Stopped after step {at}: {breakpoint_name}.")
                return self.go_to(at)
        return self.go_to(self.last)

    def add_prompt(self, text: str, temperature: float = 0.0, max_tokens: int = 32) -> int:
        """Queues a request, in the fork too. Without a tokenizer the text is token ids.

        Raises:
            RequestError: The prompt is empty, or not made of token ids where it has to be.
        """
        params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
        prompt = text if self.engine.tokenizer else read_token_ids(text)
        if not prompt:
            raise RequestError("The prompt is empty; type at least one token.")
        seq_id, *_ = [branch.recorder.add_request(prompt, params) for branch in self._branches]
        self.go_to(self.last)
        self.say(f"Sequence {seq_id} waits; step to see it start.")
        return seq_id

    def set_temperature(self, temperature: float, seq_id: int | None = None) -> None:
        """Samples unfinished requests differently, from the next step on, in the fork too.

        Args:
            temperature: 0 takes the likeliest token.
            seq_id: One of them; None for all.

        Raises:
            UnknownRequestError: It has finished, or was never there.
            RequestError: Nothing waits or runs.
        """
        if seq_id is None and not self._branches.has_work:
            raise RequestError("No sequence waits or runs, so there is no temperature to change.")
        self._branches.set_temperature(temperature, seq_id)
        self.go_to(self.last)
        whose = "All unfinished sequences are" if seq_id is None else f"Sequence {seq_id} is"
        self.say(f"{whose} sampled at temperature {temperature:g} from the next step on.")

    def fork(self, step: int | None = None, **changes: Any) -> Recorder:
        """Goes on with a copy of the engine as well, from the step that is shown, side by side.

        At an earlier step than the newest the copy is made by taking the steps again
        (`introspect/rewind.py`).

        Args:
            step: Another step to fork after.
            **changes: Options that `engine.fork` can change, such as `policy` or `block_size`.

        Raises:
            ConfigError: No such step, or an option that a fork cannot change.
            RecordingError: The steps cannot be repeated.
        """
        at = self.position if step is None else step
        newest = self._branches.main.last
        if not -1 <= at <= newest:
            raise ConfigError(
                f"step={at!r} is not in [-1, {newest}], its steps; take the engine there first."
            )
        forked = fork_branch(self._branches.main, self._rewinder, at, changes)
        fork = ShownBranch(forked, self.viewer.level)
        self.close_fork()
        self._branches.since = at + 1
        self._watch(fork)
        self._branches.fork = fork
        fork.viewer.sequence = self.viewer.sequence
        self.go_to(at)
        moment = f"after step {at}" if at >= 0 else "before the first step"
        self.say(f"Forked {moment}; the {fork.name} is on the right. Step moves both.")
        return fork.recorder

    def close_fork(self) -> None:
        """Goes on with the engine alone."""
        fork = self._branches.fork
        if fork is None:
            return
        self._branches.fork = None
        self.go_to(self.position)
        fork.close()
        fork.recorder.engine.close()

    def release(self) -> None:
        """Closes the fork, frees its engine, and lets go of the engine that was given."""
        if self._open is None:
            return
        self.play(False)
        if self._open.fork is not None:
            self._open.fork.recorder.engine.close()
        for branch in self._open:
            branch.close()
        self._rewinder.close()
        self._open = None

    @property
    def is_playing(self) -> bool:
        """Whether it steps by itself."""
        return self._playing is not None

    def play(self, is_on: bool) -> None:
        """Starts or stops taking a step now and then (needs a running event loop)."""
        if is_on and self._playing is None:
            self._playing = asyncio.get_running_loop().create_task(self._play())
        elif self._playing is not None and not is_on:
            self._playing.cancel()
            self._playing = None

    async def _play(self) -> None:
        while self.attempt(self.step) and (self._branches.has_work or self.position < self.last):
            await asyncio.sleep(SECONDS_PER_STEP)
        self._playing = None
        self.refresh()

    def attempt(self, verb: Any, *args: Any, **kwargs: Any) -> bool:
        """Runs a verb for a button; a mistake or a failed step becomes a message.

        Returns:
            Whether it went well.
        """
        try:
            self.say("")
            verb(*args, **kwargs)
        except (NanoVLLMError, ValueError, RuntimeError) as error:
            self.say(str(error), is_error=True)
            return False
        return True

    # ------------------------------------------------------------------------ inside

    def _follow(self, branch: ShownBranch) -> None:
        if branch.position != branch.shown_for(self.position):
            self.go_to(branch.position)

    def _select(self, seq_id: int | None) -> None:
        """What is selected in the view of the engine is selected in its fork too."""
        if self.fork_viewer is not None:
            self.fork_viewer.sequence = seq_id

    def _watch(self, branch: ShownBranch) -> None:
        """A view was moved by hand (its timeline, its keys): the rest comes along."""
        branch.viewer.observe(lambda _: self._follow(branch), "step")
        branch.viewer.observe(lambda change: self._show_level(change["new"]), "level")

    def _show_level(self, level: str) -> None:
        for branch in self._branches:
            branch.viewer.level = level

    def say(self, text: str, is_error: bool = False) -> None:
        """Tells the user."""
        self.said = text

    def look_again(self) -> None:
        """Shows what happened to the engine elsewhere: requests that were added to it directly."""
        self.go_to(self.position)

    def refresh(self) -> None:
        """Shows where the player stands, and what there is to drive."""


def read_token_ids(text: str) -> list[int]:
    """Typed token ids.

    Raises:
        RequestError: One of them is no whole number.
    """
    parts = text.replace(",", " ").split()
    for part in parts:
        if not part.isdecimal():
            raise RequestError(
                f"{part!r} is not a token id; this engine has no tokenizer, so type whole numbers "
                "such as 1 2 3."
            )
    return [int(part) for part in parts]
