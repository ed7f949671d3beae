"""How a run ends: quickly for help, with status 2 and one line for bad input."""

import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from nanovllm_edu.cli import main

COMMAND = Path(sys.executable).parent / "nanovllm-edu"


def status_of(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def seconds_of(arguments: list[str]) -> float:
    begin = perf_counter()
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)
    return perf_counter() - begin


@pytest.mark.parametrize("arguments", [["--help"], ["steps", "--help"], ["--version"]], ids=str)
def test_help_answers_at_once(arguments: list[str]):
    assert min(seconds_of(arguments) for _ in range(3)) < 0.5


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert status_of(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("generate", "chat", "steps", "demo", "info"))


BAD_INPUT = {
    "no command": ([], "COMMAND"),
    "unknown command": (["stpes"], "stpes"),
    "unknown option": (["info", "--blok-size", "4"], "did you mean --block-size?"),
    "no option at all": (
        ["info", "--xyzzy=4"],
        "info: error: --xyzzy is unknown",
    ),
    "a word too many": (["info", "now"], "now is unknown"),
    "no prompt": (["generate"], "PROMPT"),
    "wrong type": (["info", "--block-size", "four"], "'four'"),
    "block size 0": (["info", "--block-size", "0"], "block_size=0 is below 1"),
    "no blocks": (["info", "--num-blocks", "0"], "num_blocks=0"),
    "dtype": (["info", "--dtype", "float8"], "'float8'"),
    "temperature": (["generate", "a", "--temperature", "-1"], "temperature=-1.0"),
    "not a number": (["generate", "a", "--temperature", "nan"], "temperature=nan"),
    "top_p": (["generate", "a", "--top-p", "0"], "top_p=0.0"),
    "max_tokens": (["steps", "a", "--max-tokens", "0"], "max_tokens=0"),
    "max_steps": (["steps", "a", "--max-steps", "0"], "--max-steps 0"),
    "page": (["demo", "--html", "/no/such/folder/demo.html"], "/no/such/folder"),
    "policy": (["info", "--policy", "best"], "'best'"),
    "backend": (["info", "--attention-backend", "magic"], "'magic'"),
    "model": (["info", "--model", "/no/such/folder"], "/no/such/folder"),
    "empty prompt": (["generate", ""], "the prompt is empty"),
    "one bad prompt of two": (["generate", "a", ""], "the prompt is empty"),
    "prompt too long": (["steps", "a " * 300], "max_model_len=64"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_status_2(case: str, capsys: pytest.CaptureFixture[str]):
    arguments, expected = BAD_INPUT[case]
    assert status_of(arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.split("\r")[-1].splitlines() if line]
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("nanovllm-edu")
    assert ": error: " in lines[0]
    assert expected in lines[0]
    assert not captured.out


def test_python_dash_m_is_the_same_command():
    run = subprocess.run(
        [sys.executable, "-m", "nanovllm_edu", "info", "--seed", "-1"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stderr == "nanovllm-edu info: error: seed=-1 is below 0; give at least 0.\n"


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nanovllm_edu.cli.info.run", interrupt)
    assert status_of(["info"]) == 130


def test_a_closed_pipe_ends_the_run_quietly():
    command = f"'{COMMAND}' steps 'Once upon a time' --max-tokens 3 | head -1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert run.stdout.count("\n") == 1
    assert "Traceback" not in run.stderr
    assert "BrokenPipe" not in run.stderr
