"""`nanovllm-edu serve`: a server that OpenAI's clients can talk to.

Read next: `cli/model_apart.py`, `serve/server.py`, `serve/app.py`.
"""

import argparse
import os
import sys
from contextlib import ExitStack

from nanovllm_edu.async_llm import MAX_WAITING, AsyncLLM, check_waiting
from nanovllm_edu.cli.arguments import SERVE_LIMITS
from nanovllm_edu.cli.make_llm import check_engine_options, make_llm
from nanovllm_edu.cli.model_apart import model_apart
from nanovllm_edu.serve.address import Address, allowed_hosts
from nanovllm_edu.serve.app import Served
from nanovllm_edu.serve.gatekeeper import Rules
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.server import serve


def run(arguments: argparse.Namespace) -> None:
    """Serves until a signal comes."""
    address = Address(arguments.host, arguments.port, arguments.drain_seconds)
    rules = _rules(arguments, address)  # what is wrong is told before the model is loaded
    name = arguments.served_model_name or arguments.model
    max_waiting = MAX_WAITING if arguments.max_waiting is None else arguments.max_waiting
    limits = {
        "max_waiting": max_waiting,
        "max_queue_seconds": arguments.max_queue_seconds,
        "max_pause_seconds": arguments.max_pause_seconds,
    }
    check_waiting(**limits)
    check_engine_options(arguments)
    with ExitStack() as stack:
        runner = stack.enter_context(model_apart(arguments)) if arguments.model_apart else None
        llm = stack.enter_context(make_llm(arguments, runner))
        async_llm = stack.enter_context(AsyncLLM(llm, **limits))
        served = Served(async_llm, name, rules, show_text=arguments.show_text)
        serve(served, address, tell=_tell)


def _rules(arguments: argparse.Namespace, address: Address) -> Rules:
    keys = list(arguments.api_key or [])
    if from_environment := os.environ.get("NANOVLLM_API_KEY"):
        keys.append(from_environment)
    hosts = allowed_hosts(address, arguments.allowed_host or [], has_keys=bool(keys))
    given = {name: getattr(arguments, name) for name in (*SERVE_LIMITS, "max_tokens")}
    limits = ServeLimits(**{name: value for name, value in given.items() if value is not None})
    return Rules(hosts, frozenset(arguments.allow_origin or ()), tuple(keys), limits)


def _tell(url: str) -> None:
    sys.stderr.write(
        f"serving at {url}/v1 (OpenAI's API); watch the engine at {url}/watch; Ctrl-C ends it\n"
    )
