"""`/watch`: the engine at work, live, in the viewer that notebooks and exported pages show.

While somebody watches, the driver steps through a recorder, which keeps what a step returned
anyway. Everything else happens a few times a second, in another thread: the newest steps become
entries of a view, and each page gets those that it lacks. A page can look back over `KEPT_STEPS`
steps at least; the oldest are let go of. With the last page the recorder goes, too.

Read next: `serve/hidden.py`, what is not shown; `serve/watch_page.py`, the page.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.driver import Driver
from nanovllm_edu.errors import TooBusyError
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.introspect.view import View
from nanovllm_edu.serve.event_stream import event
from nanovllm_edu.serve.hidden import PIECES, hidden_document, hidden_entry

Result = TypeVar("Result")

KEPT_STEPS = 512
MOST_STEPS = 4096
"""At so many, the oldest go, and about `KEPT_STEPS` stay: seldom, because those are shown anew."""
SECONDS = 0.25
"""Between two looks."""
QUIET_SECONDS = 15.0
"""After so long without news a page is told that there is none, so that no proxy hangs up."""


class Look(NamedTuple):
    """What was there when somebody looked last. The view grows on, in other threads.

    Attributes:
        begun: Changes when the view begins anew.
        view: Of the steps.
        num_entries: So many of its entries had been made.
        pieces: token id -> its text.
    """

    begun: int
    view: View
    num_entries: int
    pieces: dict[int, str]


class Watch:
    """One engine that some pages watch, or none.

    Args:
        llm: Whose engine.
        show_text: Whether pages see what people and the model said.
        most_watchers: So many pages may watch at the same time.
    """

    def __init__(self, llm: AsyncLLM, *, show_text: bool = False, most_watchers: int = 8) -> None:
        self._llm = llm
        self.show_text = show_text
        self.most_watchers = most_watchers
        self.num_watchers = 0
        self._lock = asyncio.Lock()
        self._recorder: Recorder | None = None
        self._newest: Look | None = None
        self._num_begun = 0
        self._written: tuple[tuple[int, ...], bytes] = (), b""
        self._forget_to: int | None = None
        self._looked_at = 0.0

    # --------------------------------------------------------------------- the pages

    def check_room(self) -> None:
        """Refuses one page too many.

        Raises:
            TooBusyError: `most_watchers` watch.
        """
        if self.num_watchers >= self.most_watchers:
            raise TooBusyError(
                f"{self.num_watchers} pages watch, and max_watchers={self.most_watchers}; close "
                "one, or try again later."
            )

    async def events(self, is_over: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """What one page is told: everything, then what is new, a few times a second.

        Args:
            is_over: Asked now and then whether to end.
        """
        self.check_room()
        self.num_watchers += 1
        try:
            seen, quiet = None, 0.0
            while not is_over():
                look = await self._look()
                if seen is None or seen.begun != look.begun:
                    seen, quiet = look, 0.0
                    yield await asyncio.to_thread(self._first_event, look)
                elif seen.num_entries < look.num_entries:
                    before, seen, quiet = seen, look, 0.0
                    yield await asyncio.to_thread(self._news_event, before, look)
                elif quiet > QUIET_SECONDS:
                    quiet = 0.0
                    yield b": nothing new\n\n"
                await asyncio.sleep(SECONDS)
                quiet += SECONDS
        finally:
            self.num_watchers -= 1
            if not self.num_watchers:
                await asyncio.shield(self._stop())

    async def recording(self) -> Recording:
        """The newest steps, for somebody who watches.

        Raises:
            TooBusyError: Nobody watches, so nothing is recorded.
        """
        if self._recorder is None:
            raise TooBusyError("nobody watches, so nothing is recorded; open /watch first.")
        return await asyncio.to_thread(_own_recording, self._recorder)

    async def document(self) -> dict[str, Any]:
        """The newest steps as a page shows them, for somebody who watches.

        Raises:
            TooBusyError: Nobody watches.
        """
        recording = await self.recording()
        return await asyncio.to_thread(lambda: self._shown(View(recording).document()))

    # ----------------------------------------------------------------------- looking

    async def _look(self) -> Look:
        """Takes in what is new, once for all pages."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._newest is not None and now - self._looked_at < SECONDS / 2:
                return self._newest
            self._looked_at = now
            try:
                if self._recorder is None:
                    await self._start()
                await self._set_mark()
                self._newest = await asyncio.to_thread(self._extended)
            except (KeyError, IndexError, ValueError, AssertionError):
                # Somebody used the engine without the driver, and what is here does not follow.
                await self._start()
                self._newest = await asyncio.to_thread(self._extended)
            return self._newest

    async def _start(self) -> None:
        self._recorder = await self._llm.between_steps(_start_recording)
        self._newest = self._forget_to = None

    async def _set_mark(self) -> None:
        """Well before old steps are let go of: here the recording will begin."""
        if self._forget_to is None and len(self._recorder or ()) > MOST_STEPS - KEPT_STEPS:
            self._forget_to = await self._llm.between_steps(_settle)

    async def _stop(self) -> None:
        async with self._lock:
            if not self.num_watchers and self._recorder is not None:
                self._recorder = self._newest = None
                self._written = (), b""
                if not self._llm.is_closed:
                    await self._llm.between_steps(_stop_recording)

    def _extended(self) -> Look:
        recorder, newest = self._recorder, self._newest
        assert recorder is not None
        num_steps, mark = len(recorder), self._forget_to
        if mark and num_steps > MOST_STEPS and num_steps >= mark + KEPT_STEPS:
            recorder.forget(mark)
            self._forget_to = newest = None
        recording = recorder.recording
        if newest is None:
            view, self._num_begun = View(recording), self._num_begun + 1
        else:
            view = newest.view
            view.extend(recording)
        return Look(self._num_begun, view, len(view.entries), recording.pieces)

    # ----------------------------------------------------------------------- showing

    def _first_event(self, look: Look) -> bytes:
        document = look.view.document()
        document["journal"] = document["journal"][: look.num_entries]
        return event(self._shown(document), "document")

    def _shown(self, document: dict[str, Any]) -> dict[str, Any]:
        return document if self.show_text else hidden_document(document)

    def _news_event(self, before: Look, look: Look) -> bytes:
        """What came between two looks: written once for all pages that made both."""
        key = (look.begun, before.num_entries, look.num_entries)
        written = self._written
        if written[0] != key:
            self._written = written = key, event(self._news(before, look), "append")
        return written[1]

    def _news(self, before: Look, look: Look) -> dict[str, Any]:
        entries = look.view.entries[before.num_entries : look.num_entries]
        if not self.show_text:
            return {"entries": [hidden_entry(entry) for entry in entries], "pieces": PIECES}
        new = islice(look.pieces.items(), len(before.pieces), None)
        return {"entries": entries, "pieces": {str(token_id): text for token_id, text in new}}


def _settle(driver: Driver) -> int:
    """A recording begins where nothing is in flight. How many steps are recorded."""
    while driver.engine.num_steps_in_flight:
        driver.stepper.advance(0)
    return len(driver.stepper) if isinstance(driver.stepper, Recorder) else 0


def _start_recording(driver: Driver) -> Recorder:
    _settle(driver)
    recorder = Recorder(driver.engine)
    driver.stepper = recorder
    return recorder


def _own_recording(recorder: Recorder) -> Recording:
    """One whose folds share nothing with those of the view, which go on meanwhile."""
    recording = recorder.recording
    return recording.begin(len(recording) - 1)


def _stop_recording(driver: Driver) -> None:
    driver.stepper = driver.engine
