"""`Replica`: one server, what it has to do, and what its answers mean.

An answer is all there or it counts for nothing: a server that dies in the middle of one has closed
the connection, and what it had sent is no whole JSON. So nobody gets half an answer, and whoever is
asked next begins anew.

It knows nothing of other servers. Read next: `fleet/fleet.py`.
"""

import json
from typing import Any

from nanovllm_edu.cluster.router import Load
from nanovllm_edu.errors import NanoVLLMError, RequestError, StepFailedError
from nanovllm_edu.load.client import Reading, Target, exchange

BUSY, FAILED = (429, 503), 500
"""Statuses: it takes nothing now; something is wrong with it, not with the request."""


class LostError(NanoVLLMError):
    """A replica does not answer, or takes nothing now: another one is to be asked."""


class Replica:
    """A server.

    Args:
        number: By which routers name it.
        target: Where it is.

    Attributes:
        takes_requests: False while it is out of reach; set it to drain one.
        num_requests: That it is answering.
        num_tokens: Of these, prompts and answers, as far as one can tell from outside.
    """

    def __init__(self, number: int, target: Target) -> None:
        self.number, self.target = number, target
        self.takes_requests = True
        self.num_requests = self.num_tokens = 0

    @property
    def load(self) -> Load:
        """What a router is told."""
        return Load(self.number, self.num_requests, self.num_tokens)

    async def ask(self, path: str, body: bytes, num_tokens: int) -> dict[str, Any]:
        """Sends a request and waits for the whole answer.

        Args:
            path: Below the API's, such as "/completions".
            body: JSON.
            num_tokens: What it adds to the load meanwhile.

        Raises:
            LostError: The server is out of reach, died in the middle, or takes nothing now.
            RequestError: It says that the request is wrong, or took longer than `target.timeout`.
            StepFailedError: It says that it has failed.
        """
        self.num_requests += 1
        self.num_tokens += num_tokens
        try:
            target = self.target
            message = target.message("POST", target.place.path + path, body)
            return self._answer(Reading(await exchange(target, message)))
        except TimeoutError:
            raise RequestError(
                f"{self.target.url} did not answer within timeout={self.target.timeout:g} s; ask "
                "for less, or give more time."
            ) from None
        except OSError as error:
            raise LostError(f"{self.target.url} cannot be reached ({error}).") from error
        finally:
            self.num_requests -= 1
            self.num_tokens -= num_tokens

    def _answer(self, read: Reading) -> dict[str, Any]:
        try:
            body = json.loads(read.body)
        except (ValueError, RecursionError):
            raise LostError(f"{self.target.url} ended in the middle of an answer.") from None
        if read.status == 200:
            return body
        said = f"{self.target.url} answers with status {read.status}: {_message(body)}"
        if read.status in BUSY:
            raise LostError(said)
        raise (StepFailedError if read.status >= FAILED else RequestError)(said)

    async def is_well(self) -> bool:
        """Whether it says that it would answer."""
        try:
            message = self.target.message("GET", "/health")
            return Reading(await exchange(self.target, message)).status == 200
        except (OSError, TimeoutError):
            return False

    def __repr__(self) -> str:
        return f"Replica({self.number}, {self.target.url}, {self.num_requests} requests)"


def _message(body: Any) -> str:
    """What a server says of an error, in OpenAI's shape or in another one."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message") if isinstance(error, dict) else body)[:400]
