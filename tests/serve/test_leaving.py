"""Who leaves takes everything along: clients that hang up, time that is up, servers that end."""

import gc
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.serve_soak import soak
from nanovllm_edu.serve.address import Address
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.server import Server, ServerThread, serve
from tests.engine.faulty_runner import FaultyRunner
from tests.engine.slow_runner import SlowRunner
from tests.processes import is_there
from tests.serve.servers import HTTP, serving


def until(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


@contextmanager
def asked(server: ServerThread, **body: Any) -> Iterator[socket.socket]:
    """A client that has sent its request."""
    host, port = server.url.removeprefix("http://").split(":")
    data = json.dumps({"prompt": [1, 2, 3], "max_tokens": 40, **body}).encode()
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            b"\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        )
        yield sock


def is_empty(server: ServerThread) -> bool:
    engine = server.server.served.llm.llm.engine
    manager, scheduler = engine.scheduler.block_manager, engine.scheduler
    return (
        not scheduler.running
        and not scheduler.waiting
        and manager.num_free_blocks == manager.num_blocks
        and not server.server.server_state.tasks
        and server.server.served.llm.num_unfinished == 0
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("num_steps", [0, 3])
def test_a_client_that_hangs_up_frees_its_blocks_within_one_step(
    stream: bool, num_steps: int
) -> None:
    runner = SlowRunner(16, 4)
    with serving(runner=runner) as server:
        with asked(server, stream=stream) as sock:
            for _ in range(num_steps):
                runner.leave.release()
            until(lambda: runner.num_launches == num_steps + 1)
            if stream:
                until(lambda: b"text/event-stream" in sock.recv(4096))
        until(lambda: len(server.server.server_state.tasks) == 0)
        runner.leave.release()  # the step that was under way
        until(lambda: is_empty(server))
        assert runner.num_launches == num_steps + 1
        runner.leave.release(100)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long_is_ended(stream: bool) -> None:
    runner = SlowRunner(16, 4)
    with serving(runner=runner, limits=ServeLimits(request_seconds=0.3)) as server:
        body = {"prompt": [1, 2, 3], "max_tokens": 40, "stream": stream}
        runner.leave.release(2)
        answer = HTTP.post(f"{server.url}/v1/completions", json=body)
        assert answer.status_code == (200 if stream else 504)
        error = json.loads(answer.text.rsplit("data: ", 1)[-1])["error"]
        assert (error["type"], error["code"]) == ("timeout_error", "timeout")
        assert "0.3 s" in error["message"]
        runner.leave.release(100)
        until(lambda: is_empty(server))


def test_a_client_that_does_not_read_is_ended() -> None:
    limits = ServeLimits(request_seconds=0.5)
    with serving(limits=limits, num_blocks=256) as server, asked(server, stream=True) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        until(lambda: is_empty(server), 10)


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_fails_is_told_and_the_server_goes_on(stream: bool) -> None:
    runner = FaultyRunner(16, 4)
    with serving(runner=runner) as server:
        runner.fail(in_wait=[3])
        body = {"prompt": [1, 2, 3], "max_tokens": 10, "stream": stream}
        answer = HTTP.post(f"{server.url}/v1/completions", json=body)
        assert answer.status_code == (200 if stream else 500)
        error = json.loads(answer.text.rsplit("data: ", 1)[-1])["error"]
        assert (error["type"], error["code"]) == ("server_error", "step_failed")
        assert "[DONE]" not in answer.text
        assert HTTP.post(f"{server.url}/v1/completions", json=body).status_code == 200
        until(lambda: is_empty(server))


def test_an_ending_server_finishes_what_it_has_begun_and_takes_nothing_new() -> None:
    runner = SlowRunner(16, 4)
    with serving(runner=runner) as server, asked(server, stream=True) as sock:
        until(lambda: b"event-stream" in sock.recv(4096))
        ending = threading.Thread(target=server.close)
        ending.start()
        until(lambda: server.server.served.is_draining)
        runner.leave.release(100)
        text = b""
        while piece := sock.recv(65536):
            text += piece
        assert b"[DONE]" in text
        ending.join(5)
        assert not ending.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(sock.getpeername(), 1)


COMMAND = [sys.executable, "-m", "nanovllm_edu", "serve", "--port", "0", "--num-blocks", "64"]


def child_of(pid: int) -> int:
    """The process that has the model."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_a_model_apart_ends_with_its_server_however_that_ends() -> None:
    command = [*COMMAND, "--model-apart"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving at")
        child = child_of(process.pid)
        assert is_there(child)
        process.kill()
    until(lambda: not is_there(child), 10)


def test_a_model_apart_that_cannot_be_says_why() -> None:
    words = ["--model-apart", "--attention-backend", "flash"]
    run = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    why, what = run.stderr.splitlines()
    assert "attention_backend='flash'" in why
    assert "ended with status 2" in what
    options = "--max-model-len", "--max-waiting", "--max-queue-seconds", "--max-pause-seconds"
    for option in options:
        words = ["--model-apart", "--model", "/not/there", option, "-1"]
        run = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)
        assert run.returncode == 2
        (why,) = run.stderr.splitlines()  # before the model's own process was there to say more
        assert option.strip("-").replace("-", "_") in why
    words = ["--model-apart", "--runner", "ws://127.0.0.1:9"]
    run = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and "two places for the model" in run.stderr


@pytest.mark.parametrize("words", [[], ["--model-apart"]], ids=["in one", "model apart"])
def test_a_sigterm_drains_the_command(words: list[str]) -> None:
    """The whole command: the answer that was begun is whole, and it ends with status 0."""
    command = [*COMMAND, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            url = line.split()[2].removesuffix("/v1")
            body = {"prompt": "Once", "max_tokens": 60, "ignore_eos": True, "stream": True}
            with HTTP.stream("POST", f"{url}/v1/completions", json=body) as answer:
                lines = answer.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                assert [line for line in lines if line][-1] == "data: [DONE]"
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.slow
def test_a_crowd_that_comes_and_goes_leaves_nothing() -> None:
    counts = soak(num_requests=5000, num_connections=32, seconds=10)
    assert counts["answered"] > 50 and counts["hung up"] > 20 and counts["refused"] > 0
    first, *_, last = counts["MiB after each part"]
    assert last < first + 40, counts


def test_what_was_loaded_is_no_work_for_the_garbage_collector(monkeypatch):
    counts: list[int] = []
    monkeypatch.setattr(Server, "__init__", lambda *_: None)
    monkeypatch.setattr(Server, "run", lambda *_, **__: counts.append(gc.get_freeze_count()))
    try:
        serve(SimpleNamespace(is_draining=True), Address(port=0), lambda url: None)  # type: ignore[arg-type]
    finally:
        gc.unfreeze()
    assert counts[0] > 10_000
