"""`nanovllm-edu runner`: a model that waits for an engine on another machine.

Read next: `serve/model_host.py`.
"""

import argparse
import os
import signal
import sys
from threading import Event, Thread

from nanovllm_edu.cli.arguments import RUNNER_KEY
from nanovllm_edu.cli.make_llm import runner_options
from nanovllm_edu.llm import LLM
from nanovllm_edu.serve.address import Address, allowed_hosts
from nanovllm_edu.serve.model_host import ModelHost, hello_of


def run(arguments: argparse.Namespace) -> None:
    """Waits for engines until a signal comes."""
    keys = (*(arguments.api_key or ()), *filter(None, [os.environ.get(RUNNER_KEY)]))
    address = Address(arguments.host, arguments.port)
    allowed_hosts(address, [], has_keys=bool(keys))  # what is wrong is told before it is loaded
    end = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    with (
        LLM(arguments.model, **runner_options(arguments)) as llm,
        ModelHost(llm.engine.runner, hello_of(llm.engine, llm.info.choices), address, keys) as host,
    ):
        if arguments.owned:
            Thread(target=_end_with_owner, args=(end,), daemon=True).start()
            sys.stdout.write(f"{host.url}\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"the model waits for an engine at {host.url}; Ctrl-C ends it\n")
        end.wait()


def _end_with_owner(end: Event) -> None:
    """Nothing comes on standard input, but its end when whoever has the other side is gone."""
    sys.stdin.read()
    end.set()
