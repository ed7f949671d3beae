"""Servers on loopback, each in a thread of its own, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.serve.address import LOOPBACK_NAMES, Address
from nanovllm_edu.serve.app import Served
from nanovllm_edu.serve.gatekeeper import Rules
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.server import ServerThread
from tests.proof.small_llm import small_llm

HTTP = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
"""One for all tests: making one takes longer than most requests."""


@contextmanager
def serving(
    llm: LLM | None = None,
    *,
    runner: ChecksumRunner | None = None,
    keys: tuple[str, ...] = (),
    origins: frozenset[str] = frozenset(),
    limits: ServeLimits | None = None,
    max_waiting: int = 256,
    max_queue_seconds: float | None = None,
    show_text: bool = False,
    **options: Any,
) -> Iterator[ServerThread]:
    """A server whose model is a checksum, unless an LLM is given."""
    given = llm or small_llm(0, runner, **options)
    rules = Rules(LOOPBACK_NAMES, origins, keys, limits or ServeLimits())
    waiting = {"max_waiting": max_waiting, "max_queue_seconds": max_queue_seconds}
    with AsyncLLM(given, **waiting) as async_llm:
        served = Served(async_llm, "tiny", rules, show_text=show_text)
        with ServerThread(served, Address(port=0, drain_seconds=5)) as server:
            yield server
