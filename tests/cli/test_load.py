"""`nanovllm-edu load`, against a server on loopback; and what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanovllm_edu.cli import main
from tests.serve.servers import serving


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(num_blocks=64, keys=("secret",)) as server:
        yield f"{server.url}/v1"


def loaded(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["load", *words]) == 0
    return capsys.readouterr().out


def test_a_run_is_told_and_drawn(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    page = tmp_path / "load.html"
    words = ("--url", url, "--api-key", "secret", "--rate", "50", "--requests", "5")
    output = loaded(capsys, *words, "--prompt-words", "2", "--max-tokens", "3", "--html", str(page))
    assert "5 of 5 requests answered" in output
    assert "inter-token" in output
    assert "5 requests to tiny" in page.read_text()


@pytest.mark.parametrize("how", [("--closed", "2"), ("--burst", "3"), ("--steady",)], ids=str)
def test_json_is_for_programs(
    url: str,
    how: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("NANOVLLM_API_KEY", "secret")
    words = ("--url", url, "--rate", "50", "--requests", "6", "--prompt-words", "1", "--json")
    data = json.loads(loaded(capsys, *words, "--max-tokens", "2", *how))
    (run,) = data["runs"]
    assert (run["num_whole"], run["errors"]) == (6, {})
    assert (run["rate"] is None) == (how[0] == "--closed")


def test_a_trace_and_a_sweep(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    trace, page = tmp_path / "trace.jsonl", tmp_path / "sweep.html"
    trace.write_text('{"at": 0, "prompt": "Hi"}\n{"at": 0.01, "prompt": "Ho"}\n')
    words = ("--url", url, "--api-key", "secret", "--max-tokens", "2")
    assert "2 of 2 requests answered" in loaded(capsys, *words, "--trace", str(trace))
    sweep = ("--sweep", "--rate", "40", "--requests", "3", "--slo-ttft", "1e-6")
    output = loaded(capsys, *words, *sweep, "--prompt-words", "1", "--html", str(page))
    assert "The SLO is broken at 40 requests/s already." in output
    assert "The rate at which a promise breaks" in page.read_text()


BAD = {
    "rate": (["--rate", "0"], "rate=0.0"),
    "no requests": (["--requests", "-1"], "-1 requests"),
    "burst": (["--burst", "0"], "burst=0 is not an integer from 1 on"),
    "users": (["--closed", "0"], "closed=0 is below 1"),
    "prompt": (["--prompt-words", "0"], "at least 1"),
    "url": (["--url", "localhost"], "url='localhost'"),
    "nobody there": (["--url", "http://127.0.0.1:9/v1"], "cannot be reached"),
    "trace": (["--trace", "/no/such/file"], "cannot be read"),
    "body": (["--body", "{"], "no JSON"),
    "list": (["--body", "[]"], "no object"),
    "promise": (["--slo-ttft", "0"], "cannot be kept"),
    "share": (["--slo-percent", "200"], "share=2.0"),
    "timeout": (["--timeout", "0"], "timeout=0.0"),
    "two kinds": (["--trace", "x", "--sweep"], "not both"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case: str, capsys: pytest.CaptureFixture[str]):
    words, expected = BAD[case]
    assert main(["load", *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("nanovllm-edu load: error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_a_key_that_is_wrong_is_told(url: str, capsys: pytest.CaptureFixture[str]):
    assert main(["load", "--url", url, "--api-key", "no"]) == 2
    assert "401 invalid_api_key" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--rate", "nan"), ("--seconds", "nan")], ids=str)
def test_no_number_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    assert main(["load", "--url", "http://127.0.0.1:1/v1", *words]) == 2
    assert "error: " in capsys.readouterr().err
