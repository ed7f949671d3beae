"""`Driver`: the one thread that steps an engine for event loops.

    commands ──► [take commands] ──► [step] ──► [hand out] ──┐
                       ▲                                     │
                       └─────────────────────────────────────┘

With many calls each gets its tokens when it is its turn, several together (`pace.py`). None get
further ones while some lie in their mailbox that nobody has taken: an engine is not slowed down by
readers that are slower than it. (What has ended is always handed out.)

Whatever is to happen to the engine is a command in its inbox: add, cancel, anything else that must
come between two steps (`do`). Then it takes a step, reads what came of each request, and posts it
to the request's mailbox. With nothing to do it sleeps in the inbox.

A step that raises ends the requests that were to be stepped, each with a `StepFailedError`, and the
driver goes on. If the engine is closed under it, or the driver itself fails, all that is left ends
with an `EngineClosedError`, and so does whatever comes later.

It knows no event loop but through `mailbox.py`. Read next: `call.py`, `mailbox.py`, `async_llm.py`.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import RLock, Thread
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from nanovllm_edu.call import Call
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import (
    EngineClosedError,
    OverloadedError,
    StepFailedError,
    UnknownRequestError,
)
from nanovllm_edu.llm import LLM
from nanovllm_edu.mailbox import Letter, Mailbox, post
from nanovllm_edu.outputs import StreamOutput
from nanovllm_edu.pace import LONGEST_PAUSE, Pace
from nanovllm_edu.prompt import TokenPrompt
from nanovllm_edu.requests import Requests
from nanovllm_edu.serving_metrics import Tally
from nanovllm_edu.waiting_room import WaitingRoom

Params: TypeAlias = SamplingParams | list[SamplingParams] | None


class Stepper(Protocol):
    """The verbs that a driver uses: an engine's, or those of a recorder around it."""

    def advance(self, depth: int = 0) -> StepRecord | None: ...

    def abort_request(self, seq_id: int) -> Any: ...


class Driver:
    """Steps one engine.

    Args:
        llm: Whose engine.
        max_queue_seconds: A call that has not begun after so long is turned away.
        max_pause_seconds: Tokens lie no longer until it is their call's turn.

    Attributes:
        stepper: Takes the steps; only a command (`do`) may change it.
        tally: What was counted.
        pending: How many sequences of whom are on their way into the engine's queue.
        is_over: Whether the thread has ended.
        failure: Why, if nobody asked it to.
    """

    def __init__(
        self,
        llm: LLM,
        max_queue_seconds: float | None = None,
        max_pause_seconds: float = LONGEST_PAUSE,
    ) -> None:
        self.llm, self.engine = llm, llm.engine
        self.stepper: Stepper = llm.engine
        self.tally = Tally()
        self.pending: dict[Mailbox, int] = {}
        self.is_over = False
        self.failure: BaseException | None = None
        self._is_stopping = False
        self._live: dict[Mailbox, Call] = {}
        self._room: WaitingRoom[Mailbox] = WaitingRoom(max_queue_seconds)
        self._pace = Pace(max_pause_seconds)
        self._letters: list[Letter] = []
        # A SimpleQueue, because a garbage collector may put a command into it, in any thread.
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._last = RLock()  # re-entered by a garbage collector
        self._thread = Thread(target=self._run, name="nanovllm-edu driver", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------- from any thread

    def do(self, command: Callable[[], None]) -> None:
        """Runs a command between two steps, in the driver's thread. It must not raise."""
        self._inbox.put(command)
        if self.is_over:  # nobody else looks into the inbox any more
            self._refuse_the_rest()

    def add(
        self,
        mailbox: Mailbox,
        read: list[TokenPrompt],
        params: Params,
        arrival: float,
        client: Hashable = None,
    ) -> None:
        """Queues requests, all or none; what comes of them goes to the mailbox.

        A grammar is compiled in a thread of its own: no step waits for it, and it is no waiting in
        the queue.
        """
        self.pending[mailbox] = num_answers(read, params)
        each = params if isinstance(params, (list, tuple)) else [params]
        preparations = [*filter(None, map(self.engine.preparation, each))]
        add = partial(self._add, mailbox, read, params, arrival, client)
        if preparations:
            Thread(target=self._prepare, args=(preparations, add, mailbox), daemon=True).start()
        else:
            self.do(partial(add, ready=arrival))

    def _prepare(
        self,
        preparations: list[Callable[[], object]],
        add: Callable[..., None],
        mailbox: Mailbox,
    ) -> None:
        try:
            for prepare in preparations:
                prepare()
        except Exception as error:
            self.do(partial(self._refuse, mailbox, error))
        else:
            self.do(partial(add, ready=perf_counter()))

    def cancel(self, mailbox: Mailbox) -> None:
        """Ends the requests of a call before the next step; nothing more is posted."""
        self.do(partial(self._cancel, mailbox))

    def stop(self) -> None:
        """Ends the thread before the next step."""
        self.do(self._stop)

    def join(self) -> None:
        """Waits for the thread's end."""
        self._thread.join()

    @property
    def num_unfinished(self) -> int:
        """Calls that were added and have not ended."""
        return len(self._live) + len(self.pending)

    # ----------------------------------------------------------------- the commands

    def _add(
        self,
        mailbox: Mailbox,
        read: list[TokenPrompt],
        params: Params,
        arrival: float,
        client: Hashable,
        ready: float,
    ) -> None:
        if self.pending.pop(mailbox, None) is None:
            return  # cancelled while its grammar was compiled
        requests = Requests(self.engine, self.llm.depth)
        try:
            self.check_open()
            self.llm.add_read(requests, read, params, arrival)
        except Exception as error:
            self._letters.append(Letter(mailbox, error=error))
            return
        self._live[mailbox] = call = Call(requests, arrival)
        self._room.enter(mailbox, ready)
        self.tally.num_requests += len(call.answers)
        for answer in call.answers:  # before any step: a policy finds it from the first one on
            answer.seq.client = client
        request_ids = tuple(request.request_id for request in requests.listed)
        self._letters.append(Letter(mailbox, request_ids=request_ids))

    def _refuse(self, mailbox: Mailbox, error: Exception) -> None:
        if self.pending.pop(mailbox, None) is not None:
            self._letters.append(Letter(mailbox, error=error))

    def _cancel(self, mailbox: Mailbox) -> None:
        self.pending.pop(mailbox, None)
        if call := self._live.pop(mailbox, None):
            self._abort(call)
            call.count_ending(self.tally)

    def _stop(self) -> None:
        self._is_stopping = True

    # ------------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._take_commands(wait=not self._live)
                self._turn_away()
                self._post()  # whoever was accepted or refused need not wait for a step
                if self._live and not self._is_stopping:
                    self._hand_out(has_ended=self._step())
        except BaseException as error:  # the engine was closed, or this is a bug of ours
            self.failure = error
        finally:
            with self._last:
                self.is_over = True
                self._end_all(self._closed, "abort")
                self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        with self._last:
            self._take_commands(wait=False)
            self._post()

    def _take_commands(self, *, wait: bool) -> None:
        try:
            self._inbox.get(block=wait)()
            while True:
                self._inbox.get_nowait()()
        except Empty:
            pass

    def _turn_away(self) -> None:
        """Ends who has waited too long; they hold nothing yet."""
        for mailbox in self._room.overdue(perf_counter()):
            call = self._live.get(mailbox)
            if call is None or call.has_begun:
                continue
            seconds = self._room.max_seconds or 0.0
            text = (
                f"the request waited {seconds:g} s and its turn did not come (max_queue_seconds="
                f"{seconds:g}); the server is asked for more than it can do: try again later."
            )
            self._letters.append(Letter(mailbox, error=OverloadedError(text, seconds)))
            self._abort(call)
            del self._live[mailbox]
            call.count_ending(self.tally, "overdue")

    def _step(self) -> bool:
        """Returns whether somebody may have ended."""
        try:
            record = self.stepper.advance(self.llm.depth)
            has_ended = record is None or bool(record.finished)
            while self.engine.num_steps_in_flight and not self.engine.has_unfinished_requests():
                record = self.stepper.advance()  # whoever comes to an end last
                has_ended = True
        except EngineClosedError:
            raise
        except Exception as error:
            self.tally.num_failed_steps += 1
            self._end_all(partial(_failed, error), "error")
            return False
        self.tally.num_steps += record is not None
        return has_ended

    def _hand_out(self, *, has_ended: bool) -> None:
        """Posts what came of each call that has ended, or whose turn it is.

        One that somebody else has ended, in no step, is noticed when it is its turn.
        """
        now, calls = perf_counter(), [*self._live.items()]
        with self.engine.exclusive():  # a token and the end that it brings are one
            for mailbox, call in calls:
                is_due = call.turn <= now
                if (has_ended or is_due) and call.is_over:
                    self._letters.append(self._last_letter(mailbox, call))
                elif is_due:
                    self._letters += self._letter(mailbox, call, now)
        self._post()

    def _last_letter(self, mailbox: Mailbox, call: Call) -> Letter:
        del self._live[mailbox]
        call.count_ending(self.tally)
        return Letter(mailbox, call.read(), call.requests.outputs())

    def _letter(self, mailbox: Mailbox, call: Call, now: float) -> tuple[Letter, ...]:
        """None if nothing came, or the last one lies unread."""
        call.count_tokens(self.tally)
        if mailbox.is_unread and not mailbox.loop.is_closed():
            return ()
        if not (pieces := call.read()):
            return ()
        mailbox.is_unread = True
        num_readers = len(self.engine.scheduler.running)
        call.turn = self._pace.next_turn(now, num_readers, is_first=not call.turn)
        return (Letter(mailbox, pieces),)

    def _post(self) -> None:
        letters, self._letters = self._letters, []
        for mailbox in post(letters):  # their loop is closed
            self._cancel(mailbox)

    # ----------------------------------------------------------------------- ending

    def _end_all(self, error: Callable[[], Exception], reason: str) -> None:
        for mailbox, call in [*self._live.items()]:
            letter = Letter(mailbox, self._unread(call), error=error())  # one each: they are raised
            self._letters.append(letter)
            self._abort(call)
            call.count_ending(self.tally, reason)
        self._live.clear()

    def _unread(self, call: Call) -> tuple[StreamOutput, ...]:
        """Tokens that were not handed out yet."""
        with suppress(Exception), self.engine.exclusive():  # reading may be what has failed
            return call.read()
        return ()

    def _abort(self, call: Call) -> None:
        for answer in call.answers:
            if not answer.is_finished:
                # Unless somebody else has ended it, or everything.
                with suppress(UnknownRequestError, EngineClosedError):
                    self.stepper.abort_request(answer.seq.seq_id)

    def check_open(self) -> None:
        """Raises an EngineClosedError if the thread has ended, or is about to."""
        if self._is_stopping or self.is_over:
            raise self._closed()

    def _closed(self) -> EngineClosedError:
        if self.failure is None:
            return EngineClosedError("this AsyncLLM is closed; make a new one.")
        error = EngineClosedError(
            f"the driver has ended ({type(self.failure).__name__}: {self.failure}); make a new one."
        )
        error.__cause__ = self.failure
        return error


def num_answers(read: list[TokenPrompt], params: Params) -> int:
    """How many sequences these prompts become."""
    each = params if isinstance(params, (list, tuple)) else [params] * len(read)
    return sum(getattr(one, "n", 1) for one in each)


def _failed(error: Exception) -> StepFailedError:
    failed = StepFailedError(
        f"the step failed ({type(error).__name__}: {error}); what it computed is lost, and the "
        "engine goes on: send the request again."
    )
    failed.__cause__ = error
    return failed
