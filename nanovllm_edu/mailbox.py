"""`Mailbox`: where a thread that drives an engine leaves what came of a call, for an event loop.

The driver posts a `Letter` for each call that has news, all letters of a step and a loop in one
call (`post`). The loop's side waits for them. Only the loop touches what is in a mailbox, so it
needs no lock.

It knows no engine. Read next: `driver.py`, who writes; `async_llm.py`, who reads.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

from nanovllm_edu.outputs import RequestOutput, StreamOutput


class Mailbox:
    """What has come for the requests of one call and was not read yet.

    Attributes:
        loop: Whose it is.
        request_ids: Of its requests, in order, once the engine has them in its queue.
        pieces: Tokens, oldest first.
        outputs: All of each, once all have ended.
        error: Why they ended, if something failed.
        is_unread: Whether tokens were sent that are not all taken out of `pieces`. The driver sets
            it, and sends no more until the reader has put it back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.request_ids: tuple[int, ...] = ()
        self.pieces: deque[StreamOutput] = deque()
        self.outputs: list[RequestOutput] | None = None
        self.error: Exception | None = None
        self.is_unread = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether no further letter comes."""
        return self.outputs is not None or self.error is not None

    def take_piece(self) -> StreamOutput:
        """The oldest token, which is there."""
        piece = self.pieces.popleft()
        self.is_unread = bool(self.pieces)
        return piece

    def take_pieces(self) -> list[StreamOutput]:
        """All tokens that are there."""
        pieces = [*self.pieces]
        self.pieces.clear()
        self.is_unread = False
        return pieces

    async def wait(self) -> None:
        """Until something new is here."""
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self, letter: "Letter") -> None:
        """Takes a letter in, and wakes who waits."""
        self.request_ids = letter.request_ids or self.request_ids
        self.pieces.extend(letter.pieces)
        self.outputs, self.error = letter.outputs, letter.error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Letter(NamedTuple):
    """News of one call: first the ids of its requests, last their outputs or an error."""

    mailbox: Mailbox
    pieces: tuple[StreamOutput, ...] = ()
    outputs: list[RequestOutput] | None = None
    error: Exception | None = None
    request_ids: tuple[int, ...] = ()


def post(letters: Iterable[Letter]) -> list[Mailbox]:
    """Sends letters, from any thread, with one call for each event loop.

    Returns:
        Mailboxes that nobody will ever read: their loop is closed.
    """
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Letter]] = defaultdict(list)
    for letter in letters:
        by_loop[letter.mailbox.loop].append(letter)
    lost: list[Mailbox] = []
    for loop, bundle in by_loop.items():
        try:
            loop.call_soon_threadsafe(_take_all, bundle)
        except RuntimeError:
            lost += [letter.mailbox for letter in bundle]
    return lost


def _take_all(letters: list[Letter]) -> None:
    for letter in letters:
        letter.mailbox.take(letter)
