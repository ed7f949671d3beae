"""Without the extra `lab`: text is generated, and what draws says what to install."""

import subprocess
import sys

import pytest

PREAMBLE = """
import builtins, sys

REFUSED = {"rich", "ipywidgets", "anywidget", "matplotlib", "IPython"}
import_module = builtins.__import__

def as_if_not_installed(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if importer.startswith("nanovllm_edu") and name.partition(".")[0] in REFUSED:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return import_module(name, globals, locals, fromlist, level)

builtins.__import__ = as_if_not_installed
from nanovllm_edu.cli import main
"""
"""Only for modules of ours: rich may come along with a dependency that draws with it."""


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{PREAMBLE}\nsys.exit(main({list(arguments)!r}))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, input=given)


def test_generate_writes_text():
    result = run("generate", "Once upon a time", "--max-tokens", "4", "--ignore-eos")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "4 tokens in" in result.stderr


def test_chat_answers_and_info_tells():
    result = run("chat", "--max-tokens", "4", given="Hello\n/quit\n")
    assert result.returncode == 0, result.stderr
    assert "prompt tokens were cached" in result.stdout
    result = run("info", "--num-blocks", "10")
    assert result.returncode == 0, result.stderr
    assert "10 blocks of 16 tokens" in result.stdout


@pytest.mark.parametrize("command", [["steps", "Once"], ["demo"]], ids=lambda words: words[0])
def test_a_command_that_draws_names_the_extra(command: list[str]):
    result = run(*command)
    assert result.returncode == 2
    assert result.stderr == (
        f"nanovllm-edu {command[0]}: error: it needs rich, which is not installed; "
        "`pip install 'nanovllm-edu[lab]'`.\n"
    )
