"""What each command shows, on the model in the box."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanovllm_edu.cli import main
from nanovllm_edu.cli.demo import QUESTIONS
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER


def test_generate_writes_the_text_alone_to_stdout(capsys: pytest.CaptureFixture[str]):
    prompt = ["generate", "Once upon a time", "--max-tokens", "6", "--ignore-eos"]
    assert main(prompt) == 0
    first = capsys.readouterr()
    assert re.fullmatch(r"6 tokens in \d+\.\d\d s \(\d+ tokens/s\)\n", first.err.split("\r")[-1])
    assert main(prompt) == 0
    assert capsys.readouterr().out == first.out


def test_generate_shows_several_prompts_in_order(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "One two", "Mira", "--chat", "--max-tokens", "3"]) == 0
    output = capsys.readouterr().out
    assert 0 <= output.index("One two") < output.index("Mira")


def test_generate_shows_several_answers_to_a_prompt(capsys: pytest.CaptureFixture[str]):
    options = ["--n", "3", "--temperature", "1", "--max-tokens", "5", "--ignore-eos"]
    assert main(["generate", "Once upon", *options]) == 0
    output = capsys.readouterr()
    parts = output.out.split("[Once upon, ")[1:]
    assert [part[:6] for part in parts] == ["1 of 3", "2 of 3", "3 of 3"]
    assert len({part[7:] for part in parts}) > 1
    assert output.err.startswith("15 tokens in ")


@pytest.mark.parametrize(
    ("n", "said"), [("0", "n=0 is not an integer >= 1"), ("99", "max_num_seqs=64")]
)
def test_generate_says_how_many_answers_there_may_be(
    n: str, said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["generate", "Once upon", "--n", n]) != 0
    assert said in capsys.readouterr().err


def test_generate_streams_what_it_would_generate_at_once(capsys: pytest.CaptureFixture[str]):
    options = ["--max-tokens", "8", "--ignore-eos", "--temperature", "0.8", "--seed", "4"]
    assert main(["generate", "Once upon", *options]) == 0
    streamed = capsys.readouterr().out
    assert main(["generate", "Once upon", "Another prompt", *options]) == 0
    assert streamed.strip() in capsys.readouterr().out


def test_steps_shows_work_queues_pool_and_reasons(capsys: pytest.CaptureFixture[str]):
    prompts = ["Once upon a time there was", "Once upon a time there lived"]
    options = ["--max-num-seqs", "1", "--max-tokens", "2", "--ignore-eos"]
    assert main(["steps", *prompts, *options]) == 0
    output = capsys.readouterr().out
    first, second = output.split("step 1:")[0], output.split("step 1:")[1]
    assert "prefill" in first
    assert "decode" in second
    assert re.search(r"running +0 .*waiting +1 ", first, re.DOTALL)
    assert "seq 1 waits: all 1 rows (max_num_seqs) are taken" in first
    assert "of 16 blocks" in first
    assert "seq 1 finds its first 4 tokens cached" in output
    assert output.count("is finished") == 2
    assert f'seq 0  "{prompts[0]}" → ' in output


def test_steps_stops_after_max_steps(capsys: pytest.CaptureFixture[str]):
    assert main(["steps", "Once", "--max-steps", "2", "--max-tokens", "9", "--ignore-eos"]) == 0
    output = capsys.readouterr().out
    assert "step 1:" in output
    assert "step 2:" not in output


def test_steps_shows_every_event_on_request(capsys: pytest.CaptureFixture[str]):
    command = ["steps", "Once", "--max-tokens", "1"]
    assert main(command) == 0
    assert "seq 0 gives back block" not in capsys.readouterr().out
    assert main([*command, "--every-event"]) == 0
    assert "seq 0 gives back block" in capsys.readouterr().out


def test_the_demo_shows_hits_a_preemption_the_answers_and_the_numbers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    output = capsys.readouterr().out
    assert "open demo.html in a browser" in output
    assert "<title>nanovllm-edu demo" in (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert re.search(r"seq 1 starts: [1-9]\d* of \d+ tokens are cached", output)
    assert "is preempted and gives back" in output
    assert all(question in output for question in QUESTIONS)
    assert re.search(r"preemptions +[1-9]", output)
    assert re.search(r"tokens generated +[1-9]\d* in ", output)
    assert int(re.findall(r"tokens found in the cache +(\d+)", output)[0]) > 100


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        ("ngram", "NgramProposer(num_tokens=2, "),
        ("tiny-draft", "ModelProposer('tiny-draft', num_tokens=2)"),
    ],
)
def test_info_says_who_guesses(capsys: pytest.CaptureFixture[str], draft: str, said: str):
    command = ["info", "--num-blocks", "10", "--draft", draft, "--draft-tokens", "2"]
    assert main(command) == 0
    assert said in capsys.readouterr().out
    assert main([*command[:-1], "0"]) != 0
    assert "num_tokens=0" in capsys.readouterr().err


def test_info_says_what_was_chosen_and_why(capsys: pytest.CaptureFixture[str]):
    assert main(["info", "--num-blocks", "10", "--device", "cpu", "--dtype", "bfloat16"]) == 0
    output = capsys.readouterr().out
    for words in ("asked for by device", "asked for by dtype", "asked for by num_blocks"):
        assert words in output
    assert "10 blocks of 16 tokens" in output


def test_chat_finds_the_earlier_turns_in_the_cache(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    turns = "Hello there, how are you today?\nWhat is a KV cache?\n/reset\nHello\n/quit\nunread\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(turns))
    assert main(["chat", "--max-tokens", "20", "--ignore-eos", "--block-size", "4"]) == 0
    cached = re.findall(r"(\d+) of (\d+) prompt tokens were cached", capsys.readouterr().out)
    (first, _), (second, length), _ = cached
    assert int(first) == 0
    assert 10 < int(second) < int(length)


def test_chat_says_what_can_be_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("/help\n/hlep\n/quit\n"))
    assert main(["chat"]) == 0
    output = capsys.readouterr().out
    assert output.count("/reset") == 3, "at the beginning, when asked, and after a slip"
    assert "There is no /hlep." in output
    assert "cached" not in output, "none of it went to the model"


def test_chat_survives_a_message_that_is_too_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("why " * 90 + "\nHello\n"))
    assert main(["chat", "--max-tokens", "3", "--max-model-len", "60"]) == 0
    captured = capsys.readouterr()
    assert "max_model_len=60 leaves no room" in captured.err
    assert captured.out.count("prompt tokens were cached") == 1


def test_a_model_folder_is_a_model(capsys: pytest.CaptureFixture[str]):
    assert main(["info", "--model", str(TINY_MODEL_FOLDER)]) == 0
    layers = json.loads((Path(TINY_MODEL_FOLDER) / "config.json").read_text())["num_hidden_layers"]
    assert f"{layers} layers" in capsys.readouterr().out


@pytest.fixture(scope="module")
def far_model() -> Iterator[str]:
    """`nanovllm-edu runner`, in a process of its own; its address."""
    command = [sys.executable, "-m", "nanovllm_edu", "runner", "--port", "0", "--num-blocks", "40"]
    keys = {**os.environ, "NANOVLLM_RUNNER_KEY": "secret"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=keys) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[-4].rstrip(";")
        process.terminate()
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_model_that_is_elsewhere_says_the_same(
    far_model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = [
        "generate",
        "Once upon a time",
        "--max-tokens",
        "8",
        "--temperature",
        "1",
        "--seed",
        "3",
    ]
    assert main(words) == 0
    here = capsys.readouterr().out
    monkeypatch.setenv("NANOVLLM_RUNNER_KEY", "secret")
    assert main([*words, "--runner", far_model]) == 0
    assert capsys.readouterr().out == here
    assert main(["info", "--runner", far_model]) == 0
    told = capsys.readouterr().out
    assert far_model in told
    assert "40 blocks of 16 tokens" in told
    assert main(["info", "--runner", far_model, "--dtype", "float16"]) == 2
    assert "has it already; leave it out" in capsys.readouterr().err


def test_a_model_that_is_elsewhere_asks_for_its_key(
    far_model: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["info", "--runner", far_model]) == 2
    assert "HTTP 401" in capsys.readouterr().err
    assert main(["runner", "--host", "0.0.0.0"]) == 2
    assert "--api-key" in capsys.readouterr().err
