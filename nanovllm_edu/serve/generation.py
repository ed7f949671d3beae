"""From a request's body to its answer, whole or in pieces: what both kinds of generation share.

    body ─► prompts, SamplingParams ─► AsyncLLM.stream ─► Form ─► JSON, or server-sent events

All prompts of a body and all its `n` are one call of `AsyncLLM.stream`, so they are accepted or
refused together, before an answer begins.

Read next: `serve/app.py`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from nanovllm_edu.async_llm import AsyncLLM, Stream
from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import (
    PromptTooLongError,
    RequestError,
    StepFailedError,
    broken_text,
    shown,
)
from nanovllm_edu.outputs import RequestOutput, StreamOutput
from nanovllm_edu.serve.answers import ChatForm, CompletionForm, Form, Spelling
from nanovllm_edu.serve.event_stream import DONE, ClientGoneError, EventStream, event, unless_gone
from nanovllm_edu.serve.limits import ServeLimits
from nanovllm_edu.serve.problems import Problem
from nanovllm_edu.serve.protocol import ChatRequest, CompletionRequest, Sampled

MANY_CHARACTERS = 20_000
"""A longer text is made into tokens in another thread: others wait for this one."""


@dataclass(frozen=True)
class Generation:
    """Answers requests with one engine.

    Attributes:
        llm: The engine.
        model: The name it is served by.
        limits: What may be asked for.
    """

    llm: AsyncLLM
    model: str
    limits: ServeLimits

    async def complete(self, body: CompletionRequest, request: Request) -> ASGIApp:
        """The answer to `/v1/completions`."""
        self.check_model(body.model)
        params = self._params(body, len(body.prompts))
        prompts = [await self._tokens(prompt) for prompt in body.prompts]
        form = CompletionForm(self.model, Spelling(self.llm.tokenizer), body.wants_usage)
        return await self._answer(body, prompts, params, form, request)

    async def chat(self, body: ChatRequest, request: Request) -> ASGIApp:
        """The answer to `/v1/chat/completions`."""
        self.check_model(body.model)
        params = self._params(body, 1)
        prompt = await self.chat_tokens(
            body.messages,
            add_generation_prompt=body.add_generation_prompt,
            continue_final_message=body.continue_final_message,
            chat_template_kwargs=body.chat_template_kwargs,
        )
        form = ChatForm(self.model, Spelling(self.llm.tokenizer), body.wants_usage)
        return await self._answer(body, [prompt], params, form, request)

    def check_model(self, name: str | None) -> None:
        """Refuses another model's name.

        Raises:
            Problem: 404.
        """
        if name not in (None, self.model):
            text = f"model={shown(name)} is not served here; this is {self.model!r}."
            raise Problem(404, text, "model", "model_not_found")

    async def chat_tokens(self, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        """A conversation as token ids."""
        make = self.llm.tokenizer.chat_prompt
        size = sum(len(str(message.get("content"))) for message in messages)
        if size > MANY_CHARACTERS:
            return await asyncio.to_thread(make, messages, **options)  # type: ignore[arg-type]
        return make(messages, **options)  # type: ignore[arg-type]

    async def text_tokens(self, text: str, **options: Any) -> list[int]:
        """A text as token ids.

        Raises:
            RequestError: It holds half of a character.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise broken_text(error, "the prompt") from None
        encode = self.llm.tokenizer.encode
        if len(text) > MANY_CHARACTERS:
            return await asyncio.to_thread(encode, text, **options)
        return encode(text, **options)

    async def _tokens(self, prompt: Any) -> Any:
        if isinstance(prompt, str) and len(prompt) > MANY_CHARACTERS:
            return (await asyncio.to_thread(self.llm.llm.read, prompt))[0].token_ids
        return prompt

    def _params(self, body: Sampled, num_prompts: int) -> SamplingParams:
        params = body.sampling_params(self.llm.llm.default_sampling_params, self.limits)
        num_choices, most = num_prompts * params.n, self.limits.max_choices
        if num_choices > most:
            raise RequestError(
                f"n={params.n} answers to each of {num_prompts} prompts are {num_choices}, and "
                f"max_choices={most}; ask for fewer."
            )
        return params

    async def _answer(
        self,
        body: Sampled,
        prompts: list[Any],
        params: SamplingParams,
        form: Form,
        request: Request,
    ) -> ASGIApp:
        read = self.llm.llm.read(prompts)
        self._check_length(max((len(one.token_ids) for one in read), default=0))
        client = request.scope["state"]["client"]
        stream = self.llm.stream([one.token_ids for one in read], params, client)
        seconds = self.limits.request_seconds
        try:
            if not body.stream:
                outputs = await unless_gone(request.receive, stream.outputs(), seconds)
                return JSONResponse(form.whole(_checked(outputs)))
            # Who may be turned away is told by the status, which is sent with the first token.
            waits = stream.accepted if self.llm.max_queue_seconds is None else stream.begun
            request_ids = await unless_gone(request.receive, waits(), seconds)
        except ClientGoneError:
            return Response(status_code=499)  # nobody will read it
        finally:
            if not body.stream:
                stream.cancel()
        return EventStream(self._pieces(stream, request_ids, params, form, body), seconds)

    def _check_length(self, num_tokens: int) -> None:
        most = self.limits.max_prompt_tokens
        if most is not None and num_tokens > most:
            raise PromptTooLongError(
                f"the prompt has {num_tokens} tokens, and max_prompt_tokens={most}; shorten it."
            )

    async def _pieces(
        self,
        stream: Stream,
        request_ids: tuple[int, ...],
        params: SamplingParams,
        form: Form,
        body: Sampled,
    ) -> AsyncGenerator[bytes, None]:
        answers = product(request_ids, range(params.n))
        places = {answer: index for index, answer in enumerate(answers)}
        has_logprobs, written = params.logprobs is not None, b""
        try:
            for index in places.values():
                for chunk in form.opening(index):
                    yield event(chunk)
            while pieces := await stream.read():
                written = b"".join(
                    event(form.chunk(places[answer], *what))
                    for answer, mine in _by_answer(pieces)
                    if any(what := _news(mine, has_logprobs))
                )
                if stream.is_finished:
                    break  # the last pieces and the end go out together
                yield written
                written = b""
            outputs = _checked(await stream.outputs())
            if body.wants_usage:
                written += event(form.last(outputs))
            yield written + DONE
        finally:
            stream.cancel()


def _by_answer(pieces: list[StreamOutput]) -> Iterable[tuple[tuple[int, int], list[StreamOutput]]]:
    """Pieces of the same answer together."""
    if len(pieces) == 1:  # nearly always
        return [((pieces[0].request_id, pieces[0].index), pieces)]
    by_answer: dict[tuple[int, int], list[StreamOutput]] = {}
    for piece in pieces:
        by_answer.setdefault((piece.request_id, piece.index), []).append(piece)
    return by_answer.items()


def _news(
    pieces: list[StreamOutput], has_logprobs: bool
) -> tuple[str, list[TokenLogprobs] | None, str | None]:
    """What came of one choice; nothing in it is true if a client could see nothing of it."""
    text = "".join([piece.text for piece in pieces])
    logprobs = [piece.logprobs for piece in pieces if piece.logprobs] if has_logprobs else None
    return text, logprobs, pieces[-1].finish_reason


def _checked(outputs: list[RequestOutput]) -> list[RequestOutput]:
    """Fails if a request failed by itself: no answer is better than half of one."""
    if any(one.finish_reason == "error" for output in outputs for one in output.outputs):
        raise StepFailedError("the request failed on the device; send it again.")
    return outputs
