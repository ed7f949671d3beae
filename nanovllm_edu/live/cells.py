"""Runs a notebook's cells in a page: Python in, and what a notebook would show out, as plain data.

    cells = Cells()
    cells.run(3, "engine = small_engine()\\nengine.step()")     [{"kind": "html", "html": ...}]

A cell's last expression is shown, as in a notebook, and so is what it prints or gives to `display`.
The code is the learner's own, in their own browser; an error ends their cell and nothing else. What
does not come to an end is ended by the page, which ends the whole worker.

Read next: `outputs.py`, how a value is shown; `docs/live/cells_worker.js`, who asks.
"""

import ast
import linecache
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from json import dumps, loads
from types import ModuleType
from typing import Any

from nanovllm_edu.lessons.prediction import Prediction
from nanovllm_edu.live.figure import modules
from nanovllm_edu.live.outputs import Output, Shown, output_of


class Cells:
    """The cells of one lesson, which share their names."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"__name__": "__main__", "display": self._display}
        self._outputs: list[Output] = []
        self._printed = StringIO()
        self._bets: list[Prediction] = []

    def run(self, number: int, source: str) -> list[Output]:
        """Runs a cell.

        Args:
            number: Which one; messages name it.
            source: Its text.

        Returns:
            What it shows, in order; the last one is of kind "error" if it was not run to its end.
        """
        self._outputs, self._printed = [], StringIO()
        name = f"<cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        with redirect_stdout(self._printed), redirect_stderr(self._printed):
            try:
                self._display(*self._results(source, name))
            except BaseException as error:  # `exit()` and an interrupt end a cell, too
                self._flush()
                self._outputs.append({"kind": "error", "text": _told(error)})
        self._flush()
        return self._outputs

    def pick(self, bet: int, option: str) -> None:
        """The reader has clicked an option of a prediction."""
        self._bets[bet].pick(option)

    def _results(self, source: str, name: str) -> list[Any]:
        """The value of the last expression, unless there is none."""
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body else ast.Pass(lineno=1, col_offset=0)
        if not isinstance(last, ast.Expr):
            tree.body.append(last)
            last = ast.Expr(ast.Constant(None, lineno=1, col_offset=0))
        exec(compile(tree, name, "exec"), self._names)  # noqa: S102  # the reader's own code
        value = eval(compile(ast.Expression(last.value), name, "eval"), self._names)  # noqa: S307
        return [] if value is None else [value]

    def _display(self, *values: Any) -> None:
        self._flush()
        for value in values:
            if isinstance(value, Prediction):
                self._bets.append(value)
                self._outputs.append({**output_of(value), "bet": len(self._bets) - 1})
            else:
                self._outputs.append(output_of(value))

    def _flush(self) -> None:
        """What was printed so far stands above what comes now."""
        if text := self._printed.getvalue():
            self._outputs.append({"kind": "text", "text": text})
            self._printed.seek(0)
            self._printed.truncate()


def _told(error: BaseException) -> str:
    """A traceback that begins in the reader's cell."""
    told = traceback.TracebackException.from_exception(error)
    while told.stack and not told.stack[0].filename.startswith("<cell"):
        del told.stack[0]
    return "".join(told.format())


# ------------------------------------------------------------------------------ in a page


def stand_ins() -> dict[str, ModuleType]:
    """What takes the place of modules that a page's Python does not have."""
    widgets = ModuleType("nanovllm_edu.widgets")
    vars(widgets).update(show=Shown)
    return {**modules(), "nanovllm_edu.widgets": widgets}


def begin() -> Cells:
    """The cells of a page that has just started its Python."""
    sys.modules.update(stand_ins())
    return Cells()


def answer(cells: Cells, verb: str, arguments: str) -> str:
    """What a page asks for, in JSON both ways: "run" or "pick", with keyword arguments."""
    verbs = {"run": cells.run, "pick": cells.pick}
    return dumps(verbs[verb](**loads(arguments)), ensure_ascii=False)
