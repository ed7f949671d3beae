"""`serve --model-apart`: the model in a process of its own, for as long as the server lives.

A thread that steps and an event loop that serves both want Python's lock. Apart they meet at a wire
only: two cores answer a quarter more where a step takes 5 ms, and no more than before where it
takes 1 ms (`benchmarks/results/serve.md`).

    server    plans, queues, HTTP     ◄── plans, outputs ──►     runner    weights, KV cache

The runner listens on loopback and asks for a key that nobody else knows. It ends when its standard
input does: with the server, however that ends.

Read next: `cli/runner.py`, what runs there; `runners/remote.py`, who talks to it.
"""

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nanovllm_edu.cli.arguments import ENGINE_WORDS, RUNNER_KEY, RUNNER_NUMBERS
from nanovllm_edu.errors import ConfigError, ModelLoadError
from nanovllm_edu.runners.remote import RemoteRunner

OF_THE_RUNNER = (*RUNNER_NUMBERS, *ENGINE_WORDS)
CLOSE_SECONDS = 10.0


@contextmanager
def model_apart(arguments: argparse.Namespace) -> Iterator[RemoteRunner]:
    """Starts the model's own process, and takes from the arguments what is said to it.

    Raises:
        ConfigError: The model is to be somewhere else, too.
        ModelLoadError: The process ended before it had a model; it has said why.
    """
    if arguments.runner:
        raise ConfigError(
            f"--runner={arguments.runner} and --model-apart name two places for the model; "
            "leave one out."
        )
    key = secrets.token_urlsafe(32)
    with subprocess.Popen(
        _command(arguments),
        env=os.environ | {RUNNER_KEY: key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # a Ctrl-C, which all of a group get, is for the server: it drains
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise ModelLoadError(
                    f"the model's own process ended with status {process.wait()}; what it said is "
                    "above."
                )
            for name in OF_THE_RUNNER:
                setattr(arguments, name, None)
            arguments.enforce_eager = False
            yield RemoteRunner(url, api_key=key)
        finally:
            process.stdin.close()
            try:
                process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _command(arguments: argparse.Namespace) -> list[str]:
    """The command that has the model, with the options that are for it."""
    words = [sys.executable, "-m", "nanovllm_edu", "runner", "--owned", "--port", "0"]
    words += ["--model", arguments.model]
    for name in OF_THE_RUNNER:
        if (value := getattr(arguments, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, *["--enforce-eager"] * arguments.enforce_eager]
