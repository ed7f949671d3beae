"""The commands and their options, and how each run ends.

    0    done
    2    bad input: one line on stderr says which value, which limit, and what to do
    130  interrupted

Commands are imported when they are called. Read next: `arguments.py`, `steps.py`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from nanovllm_edu import __version__
from nanovllm_edu.cli.arguments import (
    add_engine_options,
    add_load_options,
    add_runner_options,
    add_sampling_options,
    add_serve_options,
)
from nanovllm_edu.errors import MissingPackageError, NanoVLLMError

BAD_INPUT = 2
INTERRUPTED = 130
EXTRAS = {
    **dict.fromkeys(("rich", "ipywidgets", "anywidget", "matplotlib"), "lab"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "httptools"), "serve"),
    **dict.fromkeys(("prometheus_client", "pydantic"), "serve"),
}
"""Package -> the extra that brings it; everything else is always installed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after `nanovllm-edu`; None takes the process's own.

    Returns:
        The exit status.
    """
    parsed = _parser().parse_args(arguments)
    try:
        _module_of(parsed.command).run(parsed)
    except NanoVLLMError as error:
        return _complain(f"nanovllm-edu {parsed.command}: error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _module_of(command: str) -> ModuleType:
    """Where a command is.

    Raises:
        MissingPackageError: It needs a package that is not installed.
    """
    try:
        return import_module(f"nanovllm_edu.cli.{command}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingPackageError(
            f"it needs {package}, which is not installed; "
            f"`pip install 'nanovllm-edu[{EXTRAS[package]}]'`."
        ) from error


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage in front of it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a command itself refuses what it does not know."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            close = get_close_matches(word, self._option_string_actions, 1)
            self.error(f"{word} is unknown" + (f"; did you mean {close[0]}?" if close else ""))
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        _complain(f"{self.prog}: error: {message} (see {self.prog} --help)")
        raise SystemExit(BAD_INPUT)


def _complain(line: str) -> int:
    sys.stderr.write(line + "\n")
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nanovllm-edu",
        description="An LLM inference engine to learn from: run it, and watch it run.",
        epilog="nanovllm-edu COMMAND --help lists a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"nanovllm-edu {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_generate(commands)
    _add_chat(commands)
    _add_steps(commands)
    _add_demo(commands)
    _add_serve(commands)
    load = commands.add_parser("load", help="users for a server: what do they wait for?")
    add_load_options(load)
    runner = commands.add_parser("runner", help="a model for an engine on another machine")
    add_runner_options(runner)
    _add_grade(commands)
    _add_calibrate(commands)
    info = commands.add_parser("info", help="which device, dtype, backend and cache, and why")
    add_engine_options(info)
    return parser


def _add_generate(commands: "argparse._SubParsersAction[_Parser]") -> None:
    generate = commands.add_parser("generate", help="continue one prompt or several")
    generate.add_argument("prompts", nargs="+", metavar="PROMPT")
    generate.add_argument("--chat", action="store_true", help="put each through the chat template")
    generate.add_argument(
        "--n", type=int, default=1, metavar="N", help="answers to each prompt (needs a temperature)"
    )
    add_sampling_options(generate, max_tokens=64)
    add_engine_options(generate)


def _add_chat(commands: "argparse._SubParsersAction[_Parser]") -> None:
    chat = commands.add_parser("chat", help="talk to the model")
    chat.add_argument("--system", metavar="TEXT", help="the system message")
    add_sampling_options(chat, max_tokens=256)
    add_engine_options(chat)


def _add_steps(commands: "argparse._SubParsersAction[_Parser]") -> None:
    steps = commands.add_parser("steps", help="watch queues, spans and blocks, step by step")
    steps.add_argument("prompts", nargs="+", metavar="PROMPT")
    steps.add_argument("--chat", action="store_true", help="put each through the chat template")
    steps.add_argument("--max-steps", type=int, metavar="N", help="stop after this many steps")
    steps.add_argument("--every-event", action="store_true", help="show every event, not the why")
    add_sampling_options(steps, max_tokens=12)
    add_engine_options(steps, block_size=4, num_blocks=16)


def _add_serve(commands: "argparse._SubParsersAction[_Parser]") -> None:
    serve = commands.add_parser("serve", help="a server for OpenAI's clients, to be watched")
    add_serve_options(serve)
    add_engine_options(serve)


def _add_grade(commands: "argparse._SubParsersAction[_Parser]") -> None:
    grade = commands.add_parser("grade", help="check the exercises in a learner's notebooks")
    grade.add_argument("folder", metavar="FOLDER", help="such as my_lessons")
    grade.add_argument("--json", action="store_true", help="for a program to read")
    grade.add_argument("--seed", type=int, default=0, help="of the random inputs (default 0)")
    grade.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="for each exercise (default 60)"
    )


def _add_calibrate(commands: "argparse._SubParsersAction[_Parser]") -> None:
    calibrate = commands.add_parser("calibrate", help="what work takes here, to predict by")
    calibrate.add_argument(
        "recordings", nargs="*", metavar="RECORDING", help="fit to these; left out: run the model"
    )
    calibrate.add_argument(
        "--out", default="calibration.json", metavar="PATH", help="(default calibration.json)"
    )
    add_engine_options(calibrate)


def _add_demo(commands: "argparse._SubParsersAction[_Parser]") -> None:
    demo = commands.add_parser("demo", help="six prompts through a cache that is too small")
    demo.add_argument(
        "--html", default="demo.html", metavar="PATH", help="the recorded run (default demo.html)"
    )
    add_sampling_options(demo, max_tokens=128)
    add_engine_options(demo, block_size=8, num_blocks=22, max_num_seqs=6)
