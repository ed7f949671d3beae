"""`ServerPanel`: a server in the kernel: where it is, what it logs, and `/watch` in the cell.

    panel = ServerPanel()        an LLM with the model in the box, served on a free port of loopback
    panel.url                    what OpenAI's clients ask: openai.OpenAI(base_url=panel.url, ...)
    panel.close()                as a SIGTERM would; the cell does it by itself when it runs again

The extra `[serve]` has what it needs, so `widgets` does not import it: `from
nanovllm_edu.widgets.server_panel import ServerPanel`.

Read next: `serve/server.py`.
"""

import logging
from collections import deque
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.llm import LLM
from nanovllm_edu.serve.address import LOOPBACK_NAMES, Address
from nanovllm_edu.serve.app import Served
from nanovllm_edu.serve.gatekeeper import Rules
from nanovllm_edu.serve.server import ServerThread
from nanovllm_edu.widgets.cells import CellHooks, close_with_parts

LOGGERS = ("nanovllm_edu.serve", "uvicorn.access", "uvicorn.error")
MOST_LINES = 200
NOTEBOOKS = ("http://localhost:*", "http://127.0.0.1:*")
"""Where a notebook is that may show `/watch` in a frame."""


class ServerPanel(widgets.VBox):
    """Starts a server, and shows it.

    Args:
        model: As in `AsyncLLM`: a name, a folder, or an `LLM`, which then stays open.
        name: What clients call the model.
        shown_in: Origins of the notebook, for the frame with `/watch`.
        **options: Of `AsyncLLM`, such as `max_queue_seconds`, and fields of `EngineConfig`.

    Raises:
        NanoVLLMError: An option is wrong, or the model cannot be read.
    """

    _server: ServerThread | None = None
    _hooks: CellHooks | None = None

    def __init__(
        self,
        model: LLM | str | Path = "tiny",
        *,
        name: str = "tiny",
        shown_in: tuple[str, ...] = NOTEBOOKS,
        **options: Any,
    ) -> None:
        self._llm = AsyncLLM(model, **options)
        # Nobody else can ask, so the text is the learner's own.
        served = Served(self._llm, name, Rules(LOOPBACK_NAMES), show_text=True,
                        frame_ancestors=shown_in)  # fmt: skip
        self.lines = widgets.HTML()  # before the server, whose first line comes at once
        self._log = _Log(self._show_log)
        try:
            self._server = ServerThread(served, Address(port=0, drain_seconds=5), says_all=True)
        except BaseException:
            self._log.remove()
            close_with_parts(self.lines)
            self._llm.close()
            raise
        self.url = f"{self._server.url}/v1"
        self._build(self._server.url)
        self._hooks = CellHooks(self.close)

    def _build(self, url: str) -> None:
        self.status, self.frame = widgets.HTML(), widgets.HTML()
        self.watch = widgets.ToggleButton(description="Watch", icon="eye", tooltip="The engine")
        self.stop = widgets.Button(description="Stop", icon="stop", tooltip="Finish, and end")
        self.watch.observe(lambda change: self._show_frame(url, is_open=change["new"]), "value")
        self.stop.on_click(lambda _: self._end())
        buttons = widgets.HBox([self.watch, self.stop])
        widgets.VBox.__init__(self, [self.status, buttons, self.frame, self.lines])
        self._say(f"Serving at {self.url} (OpenAI's API); the engine is at {url}/watch.")

    @property
    def is_open(self) -> bool:
        """Whether the server answers."""
        return self._server is not None

    def close(self) -> None:
        """Ends the server and takes everything off the screen. Calling it again does nothing."""
        if self._hooks is not None:  # else it was never whole
            self._hooks.remove()
            self._end()
            close_with_parts(self)

    def _end(self) -> None:
        """Finishes what was begun; what was logged can still be read."""
        server, self._server = self._server, None
        if server is None:
            return
        self.watch.value, self.watch.disabled, self.stop.disabled = False, True, True
        server.close()
        self._llm.close()
        self._log.remove()
        self._say("The server has ended. Run the cell again for a new one.")

    def _say(self, text: str) -> None:
        self.status.value = f'<span role="status">{escape(text)}</span>'

    def _show_frame(self, url: str, *, is_open: bool) -> None:
        frame = (
            f'<iframe title="The engine at work" src="{escape(url)}/watch" style="width:100%;'
            'height:860px;border:1px solid var(--jp-border-color2,#8886);border-radius:6px">'
            "</iframe>"
        )
        self.frame.value = frame if is_open else ""

    def _show_log(self, lines: tuple[str, ...]) -> None:
        text = escape("\n".join(lines))
        self.lines.value = (
            '<pre role="log" aria-label="the server\'s log" tabindex="0" style="max-height:180px;'
            "overflow:auto;margin:4px 0;padding:4px 8px;font-size:12px;color:"
            "var(--jp-content-font-color1,inherit);background:var(--jp-layout-color2,#8881)"
            f'">{text}</pre>'
        )

    def __repr__(self) -> str:
        return f"ServerPanel({'open' if self.is_open else 'closed'})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, with a text form that is the same on every run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**(bundle or {}), "text/plain": repr(self)}


class _Log(logging.Handler):
    """The newest lines of the server's loggers, handed on as they come."""

    def __init__(self, show: Any) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        self._show, self._lines = show, deque[str](maxlen=MOST_LINES)
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a line, from any thread."""
        self._lines.append(self.format(record))
        self._show(tuple(self._lines))

    def remove(self) -> None:
        """No line comes any more."""
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)
