"""The buttons of `StepPlayer`, made of core ipywidgets.

They hold no state of the engine: each one calls a verb of the player. Read next:
`widgets/player.py`.
"""

from typing import Any

import ipywidgets as widgets

from nanovllm_edu.errors import RequestError
from nanovllm_edu.introspect.breakpoints import BREAKPOINTS
from nanovllm_edu.widgets.player import POLICIES, Player

AS_IT_IS = "as it is"
SELECTED, ALL = "the selected one", "all unfinished"


class Controls:
    """Rows of buttons, each with a word that says what it acts on.

    Attributes:
        rows: Moving; a new prompt; how sequences go on; forking.
        status: A line of text below them.
    """

    def __init__(self, player: Player, block_size: int) -> None:
        self.player = player
        self.status = widgets.HTML()
        self.rows = [
            self._moving(),
            self._adding(has_tokenizer=player.engine.tokenizer is not None),
            self._changing(),
            self._forking(block_size),
        ]
        self.rows[0].add_class("nv-stays")  # in sight, however far the view is scrolled
        self._connect()

    def _moving(self) -> widgets.Box:
        self.back = _button("Back", "step-backward", "One step back in the recording")
        self.next = _button("Step", "step-forward", "Plan, launch, commit: one step", "primary")
        self.play = widgets.ToggleButton(
            description="Play", icon="play", tooltip="Step on and on", layout=_width("84px")
        )
        self.slider = widgets.IntSlider(
            -1, min=-1, max=-1, description="step", layout=_flexible("180px"),
            style={"description_width": "34px"},
        )  # fmt: skip
        self.breakpoint = _choice("run to", list(BREAKPOINTS), "214px", "44px")
        self.run = _button("Run", "fast-forward", "Step until that happens")
        run = _group(self.breakpoint, self.run)
        return _row("Engine", self.back, self.next, self.play, self.slider, run)

    def _adding(self, has_tokenizer: bool) -> widgets.Box:
        self.prompt = widgets.Text(
            placeholder="a prompt" if has_tokenizer else "token ids, such as 1 2 3",
            layout=_flexible("200px"),
        )
        self.prompt.add_class("nv-prompt")
        self.max_tokens = widgets.BoundedIntText(
            32, min=1, max=4096, description="max tokens", layout=_width("148px"),
            style={"description_width": "76px"},
        )  # fmt: skip
        self.temperature = _temperature("temperature", "150px", "82px")
        self.add = _button("Add prompt", "plus", "It joins the queue (Enter)", width="118px")
        numbers = _group(self.max_tokens, self.temperature, self.add)
        return _row("New prompt", self.prompt, numbers)

    def _changing(self) -> widgets.Box:
        self.whose = _choice("of", [SELECTED, ALL], "176px", "20px")
        self.new_temperature = _temperature("to", "100px", "20px")
        self.heat = _button(
            "Set temperature", "thermometer-half", "Sampled so from the next step on", width="142px"
        )
        return _row("Sequences", self.heat, _group(self.whose, self.new_temperature))

    def _forking(self, block_size: int) -> widgets.Box:
        self.fork = _button(
            "Fork here", "code-fork", "A copy goes on from the step that is shown", width="168px"
        )
        self.policy = _choice("with policy", [AS_IT_IS, *POLICIES], "236px", "74px")
        self.block_size = widgets.BoundedIntText(
            block_size, min=1, max=1024, description="block size", layout=_width("142px"),
            style={"description_width": "70px"},
        )  # fmt: skip
        self.close_fork = _button("Close fork", "times", "Go on with one engine", width="112px")
        return _row("Fork", self.fork, _group(self.policy, self.block_size), self.close_fork)

    def _connect(self) -> None:
        player = self.player
        self.back.on_click(lambda _: player.attempt(player.back))
        self.next.on_click(lambda _: player.attempt(player.step))
        self.run.on_click(lambda _: player.attempt(player.run_to, self.breakpoint.value))
        self.add.on_click(lambda _: player.attempt(self._add_prompt))
        self.prompt.on_msg(self._on_key)
        self.heat.on_click(lambda _: player.attempt(self._set_temperature))
        self.fork.on_click(lambda _: player.attempt(self._fork))
        self.close_fork.on_click(lambda _: player.attempt(player.close_fork))
        self.play.observe(lambda change: player.attempt(player.play, change["new"]), "value")
        self.slider.observe(self._on_slider, "value")

    def _on_slider(self, change: Any) -> None:
        if change["new"] != self.player.position:
            self.player.go_to(change["new"])

    def _on_key(self, _: Any, content: Any, buffers: Any) -> None:
        """Enter in the prompt's box (ipywidgets' own `on_submit` is deprecated)."""
        if content.get("event") == "submit":
            self.player.attempt(self._add_prompt)

    def _add_prompt(self) -> None:
        self.player.add_prompt(self.prompt.value, self.temperature.value, self.max_tokens.value)
        self.prompt.value = ""

    def _set_temperature(self) -> None:
        seq_id = self.player.viewer.sequence if self.whose.value == SELECTED else None
        if seq_id is None and self.whose.value == SELECTED:
            raise RequestError("No sequence is selected; click one in the view, or choose all.")
        self.player.set_temperature(self.new_temperature.value, seq_id)

    def _fork(self) -> None:
        changes: dict[str, Any] = {}
        if self.policy.value in POLICIES:
            changes["policy"] = POLICIES[self.policy.value]()
        if self.block_size.value != self.player.engine.runner.block_size:
            changes["block_size"] = self.block_size.value
        self.player.fork(**changes)

    def refresh(self) -> None:
        """Follows the player."""
        step = self.player.position
        with self.slider.hold_trait_notifications():
            self.slider.max = self.player.last
            self.slider.value = step
        self.back.disabled = step < 0
        self.play.value = self.player.is_playing
        self.close_fork.layout.display = "none" if self.player.forked is None else ""
        self.fork.description = f"Fork after step {step}" if step >= 0 else "Fork at the start"


def _row(name: str, *parts: Any) -> widgets.Box:
    """A word in a column of its own, so that what follows stays in line; on a phone, above it."""
    title = widgets.HTML(
        f'<b style="white-space:nowrap">{name}</b>', layout=widgets.Layout(flex="0 0 92px")
    )
    inner = _group(*parts)
    inner.layout.flex = "1 1 240px"
    layout = widgets.Layout(flex_flow="row wrap", overflow="visible")
    return widgets.Box([title, inner], layout=layout)


def _group(*parts: Any) -> widgets.Box:
    """Parts that stay together when a row is too narrow, unless they alone are too wide."""
    layout = widgets.Layout(
        flex_flow="row wrap", align_items="center", min_width="0", overflow="visible"
    )
    return widgets.Box(parts, layout=layout)


def _temperature(text: str, width: str, label_width: str) -> widgets.BoundedFloatText:
    return widgets.BoundedFloatText(
        0.0, min=0.0, max=5.0, step=0.1, description=text, layout=_width(width),
        style={"description_width": label_width}, tooltip="0 takes the likeliest token",
    )  # fmt: skip


def _button(text: str, icon: str, tooltip: str, style: str = "", width: str = "84px") -> Any:
    return widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=_width(width)
    )


def _choice(text: str, options: list[str], width: str, label_width: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        description=text, options=options, layout=_width(width),
        style={"description_width": label_width},
    )  # fmt: skip


def _width(width: str) -> widgets.Layout:
    return widgets.Layout(width=width, max_width="100%")


def _flexible(width: str) -> widgets.Layout:
    return widgets.Layout(flex=f"1 1 {width}", min_width="140px", max_width="100%")
