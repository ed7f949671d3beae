"""`AsyncLLM`: an `LLM` for event loops: a server's, or a notebook's own.

    llm = AsyncLLM()
    async for output in llm.stream("Once upon a time"):
        print(output.text, end="")
    output = await llm.generate("What is a KV cache?")

All requests share one batch: one thread steps the engine (`driver.py`), and any number of event
loops wait for their tokens. These are the tokens that `LLM` gives. Whoever leaves the loop cancels
the request, and its blocks are free before the next step.

A queue that grows without bound only hides that a server is too slow: where `max_waiting` requests
wait already, the next one is refused (`TooBusyError`), and who has waited `max_queue_seconds` in
vain is turned away (`OverloadedError`).

Read next: `mailbox.py`, `waiting_room.py`, `pace.py`, `driver.py`.
"""

import asyncio
from collections.abc import Callable, Hashable, Sized
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter
from typing import Any, Self, TypeVar
from weakref import finalize

from nanovllm_edu.core.request.option_checks import as_integer, is_number
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.driver import Driver, num_answers
from nanovllm_edu.errors import (
    ConfigError,
    NanoVLLMError,
    RequestError,
    TooBusyError,
    shown,
)
from nanovllm_edu.llm import LLM
from nanovllm_edu.mailbox import Mailbox
from nanovllm_edu.outputs import RequestOutput, StreamOutput
from nanovllm_edu.pace import LONGEST_PAUSE
from nanovllm_edu.prompt import Prompt
from nanovllm_edu.serving_metrics import ServingMetrics
from nanovllm_edu.tokenizer import Tokenizer

MAX_WAITING = 256

Result = TypeVar("Result")
Some = TypeVar("Some", bound=Sized)


def check_waiting(
    max_waiting: int, max_queue_seconds: float | None, max_pause_seconds: float
) -> None:
    """Checks how many requests may wait, how long, and how long their tokens may.

    Raises:
        ConfigError: No integer from 1 on, no time above 0, or no pause from 0 on.
    """
    if (as_integer(max_waiting) or 0) < 1:
        raise ConfigError(f"max_waiting={shown(max_waiting)} is not an integer >= 1.")
    if max_queue_seconds is not None and not (
        is_number(max_queue_seconds) and max_queue_seconds > 0
    ):
        raise ConfigError(f"max_queue_seconds={shown(max_queue_seconds)} is not above 0.")
    if not (is_number(max_pause_seconds) and max_pause_seconds >= 0):
        raise ConfigError(
            f"max_pause_seconds={shown(max_pause_seconds)} is not a number >= 0; with 0 each token "
            "is handed out at once."
        )


class AsyncLLM:
    """A model, its engine and the thread that steps it.

    Args:
        model: As in `LLM`; or an `LLM`, which then stays open when this is closed.
        max_waiting: So many requests may wait for a place in the batch; the next one is refused.
        max_queue_seconds: A request that has not begun after so long is turned away; None: it
            waits as long as it takes.
        max_pause_seconds: While many calls are open, a call's tokens lie up to so long and are
            handed out together (`pace.py`); 0: each at once.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The model cannot be read.
    """

    def __init__(
        self,
        model: LLM | str | Path = "tiny",
        *,
        max_waiting: int = MAX_WAITING,
        max_queue_seconds: float | None = None,
        max_pause_seconds: float = LONGEST_PAUSE,
        **options: Any,
    ) -> None:
        check_waiting(max_waiting, max_queue_seconds, max_pause_seconds)
        if isinstance(model, LLM) and options:
            raise ConfigError(f"{', '.join(options)}: give options to the LLM, when it is made.")
        self.max_waiting, self.max_queue_seconds = int(max_waiting), max_queue_seconds
        self._owns_llm = not isinstance(model, LLM)
        self.llm = model if isinstance(model, LLM) else LLM(model, **options)
        self._driver = Driver(self.llm, max_queue_seconds, max_pause_seconds)
        self._num_refused = 0
        finalize(self, self._driver.stop)  # the thread does not outlive who may give it work

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return self.llm.tokenizer

    # -------------------------------------------------------------------- requests

    def stream(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
        client: Hashable = None,
    ) -> "Stream":
        """Queues requests; their tokens come as soon as their steps are done.

        Args:
            prompts: As in `LLM.stream`: most often one.
            sampling_params: For all prompts, or one per prompt; by default what the model's folder
                recommends.
            client: Who asks, for a policy that looks at it (`FairPolicy`).

        Raises:
            TooBusyError: They and those that wait would be more than `max_waiting`.
            RequestError: A prompt cannot be read. What only the engine can tell (a prompt that
                is too long) is raised by the stream.
            EngineClosedError: This is closed.
            NanoVLLMError: No event loop is running.
        """
        arrival = perf_counter()
        self._driver.check_open()
        mailbox = Mailbox(_running_loop())
        read = self.llm.read(prompts)
        self._check_queue(num_answers(read, sampling_params))
        self._driver.add(mailbox, read, sampling_params, arrival, client)
        return Stream(mailbox, self._driver, self)

    def _check_queue(self, num_new: int) -> None:
        num_waiting = self.num_waiting
        if num_waiting + num_new > self.max_waiting:
            self._num_refused += num_new
            raise TooBusyError(
                f"{num_waiting} requests wait, {num_new} would come, and "
                f"max_waiting={self.max_waiting}; try again later, or raise max_waiting or "
                "max_num_seqs."
            )

    async def generate(
        self, prompt: Prompt, sampling_params: SamplingParams | None = None
    ) -> RequestOutput:
        """The whole answer to one prompt; for several at once, `asyncio.gather`.

        Raises:
            NanoVLLMError: As in `stream`; or the step that computed it failed.
        """
        return await self.stream(prompt, sampling_params).output()

    # ------------------------------------------------------------------- the engine

    @property
    def num_waiting(self) -> int:
        """Requests that wait, those included that the engine has not yet taken in."""
        on_their_way = [*self._driver.pending.values()]
        return len(self.llm.engine.scheduler.waiting) + sum(on_their_way)

    @property
    def num_unfinished(self) -> int:
        """Calls of `stream` and `generate` that have not ended."""
        return self._driver.num_unfinished

    @property
    def is_closed(self) -> bool:
        """Whether no request can come any more."""
        return self._driver.is_over

    def metrics(self) -> ServingMetrics:
        """One look at what it has done and is doing. It waits for nobody."""
        scheduler, tally = self.llm.engine.scheduler, self._driver.tally
        manager = scheduler.block_manager
        return ServingMetrics(
            num_waiting=self.num_waiting,
            num_running=len(scheduler.running),
            num_blocks=manager.num_blocks,
            num_used_blocks=manager.num_blocks - manager.num_free_blocks,
            num_requests=tally.num_requests,
            num_finished=dict(tally.num_finished),
            num_refused=self._num_refused,
            num_steps=tally.num_steps,
            num_failed_steps=tally.num_failed_steps,
            num_preemptions=tally.num_preemptions,
            num_prompt_tokens=tally.num_prompt_tokens,
            num_cached_tokens=tally.num_cached_tokens,
            num_generated_tokens=tally.num_generated_tokens,
            time_to_first_token=tally.time_to_first_token.distribution(),
            inter_token_time=tally.inter_token_time.distribution(),
            time_per_output_token=tally.time_per_output_token.distribution(),
            end_to_end_time=tally.end_to_end_time.distribution(),
        )

    async def between_steps(self, action: Callable[[Driver], Result]) -> Result:
        """Runs something in the driver's thread while no step runs.

        Args:
            action: Gets the driver, whose `stepper` it may change.

        Raises:
            Exception: Whatever the action raised.
        """
        future: Future[Result] = Future()

        def command() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(action(self._driver))
                except Exception as error:
                    future.set_exception(error)

        self._driver.do(command)
        return await asyncio.wrap_future(future)

    # -------------------------------------------------------------------- life cycle

    def close(self) -> None:
        """Ends the thread and every unfinished request. Calling it again does nothing.

        It waits for the step that runs. An `LLM` that was given stays open.
        """
        self._driver.stop()
        self._driver.join()
        if self._owns_llm:
            self.llm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        return f"AsyncLLM({self.llm.engine!r}, max_waiting={self.max_waiting})"


class Stream:
    """The tokens of one call, as they come: `async for output in stream`.

    When it is let go of, its requests end: by leaving the loop, by `cancel()`, or because the task
    that waits for it is cancelled. It belongs to the event loop in which it was made.
    """

    def __init__(self, mailbox: Mailbox, driver: Driver, owner: AsyncLLM) -> None:
        self._mailbox, self._driver = mailbox, driver
        self._owner = owner  # it stays while somebody waits for its tokens

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamOutput:
        """The next token.

        Raises:
            RequestError: The engine cannot take the request.
            StepFailedError: A step failed.
            EngineClosedError: The engine was closed.
        """
        if not await self._until(lambda mailbox: mailbox.pieces):
            raise StopAsyncIteration
        return self._mailbox.take_piece()

    async def accepted(self) -> tuple[int, ...]:
        """Waits until the engine has the requests in its queue.

        Returns:
            Their ids, in the order of the prompts.

        Raises:
            RequestError: It cannot take them.
        """
        return await self._until(lambda mailbox: mailbox.request_ids)

    async def begun(self) -> tuple[int, ...]:
        """Waits for the first token.

        Returns:
            The ids of the requests, in the order of the prompts.

        Raises:
            OverloadedError: It waited longer than `max_queue_seconds`.
            NanoVLLMError: As in `__anext__`.
        """
        await self._until(lambda mailbox: mailbox.pieces or mailbox.outputs or ())
        return self._mailbox.request_ids

    async def read(self) -> list[StreamOutput]:
        """All tokens that have come, at least one; an empty list says that this was all.

        Raises:
            NanoVLLMError: As in `__anext__`.
        """
        if not self._mailbox.pieces:
            await self._until(lambda mailbox: mailbox.pieces)
        return self._mailbox.take_pieces()

    @property
    def is_finished(self) -> bool:
        """Whether all requests have ended, and no further token comes."""
        return self._mailbox.outputs is not None

    async def outputs(self) -> list[RequestOutput]:
        """All of each request, when all have ended.

        Raises:
            NanoVLLMError: As in `__anext__`.
        """
        return await self._until(lambda mailbox: mailbox.outputs or [])

    async def output(self) -> RequestOutput:
        """All of the request, when it has ended.

        Raises:
            RequestError: There is not one prompt, but none or several.
            NanoVLLMError: As in `__anext__`.
        """
        outputs = await self.outputs()
        if len(outputs) != 1:
            raise RequestError(
                f"{len(outputs)} prompts are not one prompt; give one, or take "
                "stream(prompts).outputs()."
            )
        return outputs[0]

    async def _until(self, look: Callable[[Mailbox], Some]) -> Some:
        """Waits until there is some of it, or it will never come."""
        mailbox = self._mailbox
        while not (found := look(mailbox)) and not mailbox.is_over:
            try:
                await mailbox.wait()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if mailbox.error is not None and not found:
            raise mailbox.error
        return found

    def cancel(self) -> None:
        """Ends the requests; their blocks are free before the next step."""
        if not self._mailbox.is_over:
            self._driver.cancel(self._mailbox)

    def __del__(self) -> None:
        self.cancel()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NanoVLLMError(
            "no event loop is running, so nobody can wait for this stream; call it from a "
            "coroutine, or use LLM.stream."
        ) from None
