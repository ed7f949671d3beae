"""Ranks do not outlive their engine: not a script, not a notebook's kernel, whatever ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.runners.crew import Rank
from tests.notebook_kernel import Kernel
from tests.processes import is_there

SECONDS = 10.0


def held_by(pids: list[int]) -> set[str]:
    """Ports at which these processes listen, and files in shared memory that they have open."""
    assert all(map(is_there, pids))
    files = [file for pid in pids for file in Path(f"/proc/{pid}/fd").iterdir()]
    links = {os.readlink(file) for file in files if file.is_symlink()}
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    return (listening_sockets() & links) | set(re.findall(r"/dev/shm/\S+", maps))


def listening_sockets() -> set[str]:
    """By their inodes: somebody else may be given the number of a port at once."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{line[9]}]" for line in lines if line[3] == "0A"}


def assert_nothing_is_left(pids: list[int], held: set[str]) -> None:
    """Within ten seconds."""
    deadline, temporary = time.monotonic() + SECONDS, Path(tempfile.gettempdir())
    while left := [
        *filter(is_there, pids),
        *(held & listening_sockets()),  # they are closed a moment after the process is a zombie
        *(path for path in held if Path(path).exists()),
        *filter(Path.is_dir, temporary.iterdir()),  # where ranks meet
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever is left behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


# ------------------------------------------------------------------------- in a notebook

START = """
from nanovllm_edu import LLM, SamplingParams
llm = LLM(num_blocks=40, tensor_parallel_size=2)
params = SamplingParams(temperature=0, max_tokens=150, ignore_eos=True)
def run(seq):
    for record in llm.engine.run(1):
        if record.new_tokens and not len(seq.output_token_ids) % 20:
            print("goes", flush=True)
    return seq.output_token_ids
[rank.process.pid for rank in llm.engine.runner.ranks]
"""
REQUEST = "[seq] = llm.engine.add_requests([([5, 6, 7, 8], params)])"


@pytest.mark.slow
def test_a_kernel_that_is_interrupted_restarted_or_killed_leaves_nothing() -> None:
    kernel = Kernel()
    try:
        pids = json.loads(kernel.run(START))
        right = kernel.run(f"{REQUEST}\nrun(seq)")
        cell = kernel.send(f"{REQUEST}\nrun(seq)")
        assert kernel.printed(cell) == "goes\n"
        kernel.manager.interrupt_kernel()  # the button with a square
        kind, text = kernel.outcome(cell)
        assert kind == "error" and "KeyboardInterrupt" in text
        assert kernel.run("run(seq)") == right

        held = held_by(pids)
        assert held
        kernel.printed(kernel.send(f"{REQUEST}\nrun(seq)"))
        kernel.manager.restart_kernel()  # the round arrow
        assert_nothing_is_left(pids, held)

        kernel.client.wait_for_ready(timeout=60)
        pids = json.loads(kernel.run(START))
        held = held_by(pids)
        kernel.printed(kernel.send(f"{REQUEST}\nrun(seq)"))
        os.kill(kernel.pid, signal.SIGKILL)  # no memory left
        assert_nothing_is_left(pids, held)
    finally:
        kernel.close()


# ------------------------------------------------------------------------------ elsewhere


def order_of(folder: str) -> dict[str, object]:
    return {
        "folder": str(TINY_MODEL_FOLDER), "num_ranks": 2, "options": {}, "eos_token_ids": [],
        "meet_seconds": 600, "meeting": f"{folder}/meeting", "engine": os.getpid(),
    }  # fmt: skip


def test_a_rank_that_waits_for_others_at_its_start_ends_with_its_engine() -> None:
    """Nobody else ever comes: it would wait for minutes. Who waits is in no Python code."""
    folder = tempfile.mkdtemp()
    rank = Rank.start(0, order_of(folder))
    while not Path(folder, "meeting").exists():
        assert is_there(rank.process.pid)
        time.sleep(0.02)
    assert os.getpgid(rank.process.pid) != os.getpgrp()  # a Ctrl-C does not reach it
    rank.pipe.close()
    assert rank.process.wait(SECONDS) == 0
    assert_nothing_is_left([], set())


OWNER = """
import os
from nanovllm_edu import LLM
llm = LLM(num_blocks=40, tensor_parallel_size=2)
if os.fork() == 0:
    __import__("time").sleep(600)  # it has the pipes to the ranks open, too
print(*(rank.process.pid for rank in llm.engine.runner.ranks), flush=True)
input()
"""


def test_a_script_that_is_interrupted_leaves_no_rank() -> None:
    """It has no `if __name__ == "__main__"`, and a child of its own."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "ignore", "-c", OWNER]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, process_group=0
    ) as owner:
        assert owner.stdout is not None
        pids = list(map(int, owner.stdout.readline().split()))
        held = held_by(pids)
        try:
            owner.send_signal(signal.SIGINT)
            assert_nothing_is_left(pids, held)
        finally:
            os.killpg(owner.pid, signal.SIGKILL)
