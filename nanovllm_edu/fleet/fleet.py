"""`Fleet`: sends each request to one of several servers, and to another one if that dies.

    a server dies            what it was answering is asked of others; a caller gets one answer
    it comes back            it is asked again, as one with an empty cache
    it is about to end       it finishes what it has begun, and gets nothing new (rolling restart)
    nobody is there          requests wait, for at most `patience` seconds

The routers are those of `cluster`, asked in the same way. What they are told is what can be seen
from outside: nobody here has a tokenizer, so the bytes of a prompt count as its tokens.

Read next: `cluster/router.py`; `ray/serve.py`, where somebody else also starts the servers.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

from nanovllm_edu.cluster.prefix_index import PrefixIndex
from nanovllm_edu.cluster.router import Route, Router, route_of, routed
from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.errors import ConfigError, OverloadedError, RequestError, shown
from nanovllm_edu.fleet.replica import LostError, Replica
from nanovllm_edu.load.client import Target

BLOCK_BYTES, NUM_BLOCKS = 64, 4096
"""What is remembered of where prompts went: blocks of so many bytes, so many of each server."""
DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for completions; here only a load is guessed by it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and where it came from.

    Attributes:
        body: As the server gave it, in OpenAI's shape.
        replica: Who gave it.
        num_tries: Servers that had the request; 1 unless some were lost.
    """

    body: dict[str, Any]
    replica: int
    num_tries: int


class Fleet:
    """Servers and a router. It belongs to one event loop; leave its block to end it.

    Args:
        targets: Where the servers are: URLs as OpenAI's clients take them, or `Target`s, which also
            have keys and times.
        router: An object with `route(prompt, loads, index)`, or such a function.
        patience: Seconds that a request waits while no server takes any.
        check_seconds: How often a server that was lost is asked whether it is well again.

    Raises:
        ConfigError: There are no targets, the router is none, or a time is no number of seconds.
        WorkloadError: A URL is none.
    """

    def __init__(
        self,
        targets: Sequence[str | Target],
        router: Router | Route,
        *,
        patience: float = 60.0,
        check_seconds: float = 1.0,
    ) -> None:
        is_list = isinstance(targets, Sequence) and not isinstance(targets, str)
        if not is_list or not targets or not all(isinstance(t, (str, Target)) for t in targets):
            raise ConfigError(f"targets={shown(targets)} is no list of servers; name at least one.")
        for name, value in (("patience", patience), ("check_seconds", check_seconds)):
            if not is_number(value) or not 0 <= value < float("inf"):
                raise ConfigError(f"{name}={shown(value)} is not a number of seconds from 0 on.")
        route_of(router)
        self.router, self._patience, self._check_seconds = router, patience, check_seconds
        self.replicas = [
            Replica(number, target if isinstance(target, Target) else Target(target))
            for number, target in enumerate(targets)
        ]
        for replica in self.replicas:
            _ = replica.target.place  # refuses what is no URL
        self.index = PrefixIndex(BLOCK_BYTES, NUM_BLOCKS * len(self.replicas))
        self._checks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def ask(self, body: dict[str, Any]) -> Reply:
        """Answers one request: a completion if it has a `prompt`, a chat if it has `messages`.

        Raises:
            RequestError: It is no such request, wants a stream, or a server refuses it.
            RoutingError: The router named no server that takes requests, or raised something.
            OverloadedError: No server took it for `patience` seconds.
            StepFailedError: A server failed.
        """
        path, data, prompt = _read(body)
        num_tokens = len(prompt) + (as_integer(body.get("max_tokens")) or DEFAULT_MAX_TOKENS)
        for num_tries in count(1):
            replica = await self._chosen(prompt)
            try:
                answer = await replica.ask(path, data, num_tokens)
            except LostError:
                self._lose(replica)
            else:
                return Reply(answer, replica.number, num_tries)
        raise AssertionError("somebody answers, or nobody is there")

    async def _chosen(self, prompt: list[int]) -> Replica:
        """A server that takes requests, as soon as there is one."""
        try:
            async with asyncio.timeout(self._patience), self._changed:
                await self._changed.wait_for(lambda: any(r.takes_requests for r in self.replicas))
        except TimeoutError:
            raise OverloadedError(
                f"none of {len(self.replicas)} servers took the request within "
                f"patience={self._patience:g} s; start one, or try again later.",
                self._check_seconds,
            ) from None
        loads = [replica.load for replica in self.replicas if replica.takes_requests]
        chosen = routed(self.router, prompt, loads, self.index)
        self.index.add(prompt, chosen)
        return self.replicas[chosen]

    def _lose(self, replica: Replica) -> None:
        """Sends it nothing until it is well again."""
        if not replica.takes_requests:  # others have noticed before
            return
        replica.takes_requests = False
        self.index.forget(replica.number)
        check = asyncio.create_task(self._await_return(replica))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def _await_return(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            if await replica.is_well():
                break
        async with self._changed:
            replica.takes_requests = True
            self._changed.notify_all()

    async def close(self) -> None:
        """Asks no server any more whether it is well."""
        for check in self._checks:
            check.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        num_there = sum(replica.takes_requests for replica in self.replicas)
        return f"Fleet({num_there} of {len(self.replicas)} servers take requests)"


def _read(body: Any) -> tuple[str, bytes, list[int]]:
    """The path of a request, its bytes, and what routers see of its prompt: bytes, too.

    Raises:
        RequestError: It has not just one of `prompt` and `messages`, wants a stream, or is no JSON.
    """
    if not isinstance(body, dict) or ("prompt" in body) == ("messages" in body):
        raise RequestError(f"{shown(body)} has not one of prompt and messages; give one.")
    if body.get("stream"):
        raise RequestError("a fleet gives whole answers; leave stream out.")
    path, name = (
        ("/completions", "prompt") if "prompt" in body else ("/chat/completions", "messages")
    )
    try:
        return path, json.dumps(body).encode(), list(json.dumps(body[name]).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{shown(body)} is no JSON ({error}); give plain values.") from error
