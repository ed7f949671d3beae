"""`Stage`: one engine that answers prompts by the batch, and keeps what fails to itself.

    stage = Stage("tiny", SamplingParams(max_tokens=32))
    stage.answers(["Once upon a time", [{"role": "user", "content": "What is a KV cache?"}], ""])

The third prompt is empty: its answer has an `error`, and the other two are answered. It knows
nothing of Ray. Read next: `ray/placement.py`; `ray/data.py`, which puts one into each actor.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import EngineClosedError, RequestError, StepFailedError
from nanovllm_edu.llm import LLM


class Answer(NamedTuple):
    """What a row gets: the columns of the result, in this order.

    Attributes:
        text: What was generated; None if it failed, as are the next two.
        token_ids: The same as tokens.
        finish_reason: "stop" or "length".
        num_prompt_tokens: Of the prompt.
        num_cached_tokens: Of these, found in this engine's cache.
        error: Why it failed, as "RequestError: the prompt is empty; ..."; None if it did not.
    """

    text: str | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    error: str | None = None


class Stage:
    """An engine for tables of prompts.

    Args:
        model: As in `LLM`; or an `LLM`, which then stays open when this is closed.
        sampling_params: For all prompts; by default what the model's folder recommends.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The model cannot be read.
    """

    def __init__(
        self,
        model: LLM | str = "tiny",
        sampling_params: SamplingParams | None = None,
        **options: Any,
    ) -> None:
        # Nobody is in a hurry, and whoever gives a batch has bounded it: none is turned away.
        self._llm = AsyncLLM(model, max_waiting=sys.maxsize, **options)
        self._sampling_params = sampling_params

    def answers(self, prompts: Sequence[Any]) -> list[Answer]:
        """Answers a batch, all of it at the same time.

        Args:
            prompts: Each is text, token ids, or a conversation: a list of messages with `role` and
                `content`.

        Returns:
            One for each, in order. What is wrong with one is in its `error`.

        Raises:
            EngineClosedError: The engine has ended, so that no row can be answered any more.
        """
        return asyncio.run(self._answers(prompts))

    async def _answers(self, prompts: Sequence[Any]) -> list[Answer]:
        return list(await asyncio.gather(*map(self._answer, prompts)))

    async def _answer(self, prompt: Any) -> Answer:
        try:
            output = await self._llm.generate(self._read(prompt), self._sampling_params)
        except EngineClosedError:
            raise
        except (RequestError, StepFailedError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")
        if output.finish_reason in ("error", "abort"):
            return Answer(error=f"StepFailedError: the request ended by {output.finish_reason!r}.")
        return Answer(
            output.text,
            output.token_ids,
            output.finish_reason,
            len(output.prompt_token_ids),
            output.num_cached_tokens,
        )

    def _read(self, prompt: Any) -> Any:
        """A conversation as token ids; anything else as it is."""
        is_conversation = isinstance(prompt, list) and prompt and isinstance(prompt[0], dict)
        return self._llm.tokenizer.chat_prompt(prompt) if is_conversation else prompt

    def close(self) -> None:
        """Ends the engine. Calling it again does nothing."""
        self._llm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
