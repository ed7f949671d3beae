"""The buttons of `StepPlayer`, made of core ipywidgets.

They hold no state of the engine: each one calls a verb of the player.
"""

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from nanovllm_edu.introspect.breakpoints import BREAKPOINTS

if TYPE_CHECKING:
    from nanovllm_edu.widgets.step_player import StepPlayer

ROW = widgets.Layout(flex_flow="row wrap", align_items="center")


class Controls(widgets.VBox):
    """Two rows: moving, and changing what happens."""

    def __init__(self, player: "StepPlayer", block_size: int) -> None:
        self.player = player
        self.status = widgets.HTML()
        self.back = _button("Back", "step-backward", "One step back in the recording")
        self.next = _button("Step", "step-forward", "Plan, launch, commit: one step", "primary")
        self.play = widgets.ToggleButton(
            description="Play", icon="play", tooltip="Step on and on", layout=_width("84px")
        )
        self.slider = widgets.IntSlider(
            -1, min=-1, max=-1, description="step", readout=True, continuous_update=True,
            layout=widgets.Layout(flex="1 1 200px", min_width="160px"),
        )  # fmt: skip
        self.breakpoint = _choice("run to", list(BREAKPOINTS), "214px")
        self.run = _button("Run", "fast-forward", "Step until that happens")
        self.prompt = widgets.Text(
            placeholder="a prompt" if player.engine.tokenizer else "token ids, such as 1 2 3",
            layout=widgets.Layout(flex="1 1 180px", min_width="140px"),
        )
        self.prompt.add_class("nv-prompt")
        self.temperature = widgets.BoundedFloatText(
            0.0, min=0.0, max=5.0, step=0.1, description="temperature", layout=_width("158px"),
            style={"description_width": "92px"}, tooltip="Of the prompts that you add; 0 is greedy",
        )  # fmt: skip
        self.max_tokens = widgets.BoundedIntText(
            32,
            min=1,
            max=4096,
            description="max tokens",
            layout=_width("146px"),
            style={"description_width": "80px"},
        )
        self.add = _button("Add prompt", "plus", "It joins the queue", width="118px")
        self.policy = _choice("policy", ["as it is", "mixed", "phase-separated"], "206px")
        self.block_size = widgets.BoundedIntText(
            block_size,
            min=1,
            max=256,
            description="block size",
            layout=_width("126px"),
            style={"description_width": "68px"},
        )
        self.fork = _button("Fork here", "code-fork", "Go on with a copy as well", width="110px")
        super().__init__([self._moving(), self._changing(), self.status])
        self.layout.margin = "0 0 4px 0"
        self._connect()

    def _moving(self) -> widgets.Box:
        parts = [self.back, self.next, self.play, self.slider, self.breakpoint, self.run]
        return widgets.Box(parts, layout=ROW)

    def _changing(self) -> widgets.Box:
        parts = [self.prompt, self.temperature, self.max_tokens, self.add]
        return widgets.Box([*parts, self.policy, self.block_size, self.fork], layout=ROW)

    def _connect(self) -> None:
        player = self.player
        self.back.on_click(lambda _: player.attempt(player.back))
        self.next.on_click(lambda _: player.attempt(player.step))
        self.run.on_click(lambda _: player.attempt(player.run_to, self.breakpoint.value))
        self.add.on_click(lambda _: player.attempt(self._add_prompt))
        self.fork.on_click(lambda _: player.attempt(self._fork))
        self.play.observe(lambda change: player.attempt(player.play, change["new"]), "value")
        self.slider.observe(lambda change: player.go_to(change["new"]), "value")

    def _add_prompt(self) -> None:
        self.player.add_prompt(self.prompt.value, self.temperature.value, self.max_tokens.value)
        self.prompt.value = ""

    def _fork(self) -> None:
        from nanovllm_edu.widgets.step_player import POLICIES

        changes: dict[str, Any] = {}
        if self.policy.value in POLICIES:
            changes["policy"] = POLICIES[self.policy.value]()
        if self.block_size.value != self.player.engine.runner.block_size:
            changes["block_size"] = self.block_size.value
        self.player.fork(**changes)

    def refresh(self, step: int, num_steps: int) -> None:
        """Moves the slider to where the view is."""
        self.slider.max = num_steps - 1
        self.slider.value = step
        self.back.disabled = step < 0


def _button(text: str, icon: str, tooltip: str, style: str = "", width: str = "84px") -> Any:
    return widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=_width(width)
    )


def _choice(text: str, options: list[str], width: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        description=text, options=options, layout=_width(width), style={"description_width": "56px"}
    )


def _width(width: str) -> widgets.Layout:
    return widgets.Layout(width=width)
