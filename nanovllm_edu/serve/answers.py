"""What a client gets: tokens and outputs in the shapes that OpenAI's clients read.

A `Form` knows one of the two shapes, completions or chats, whole or in pieces; they differ in names
and in how log probabilities are written. It knows no engine and no HTTP.

Read next: `serve/generation.py`.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any, Protocol

from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.outputs import CompletionOutput, RequestOutput
from nanovllm_edu.tokenizer import Tokenizer


def usage(outputs: Iterable[RequestOutput]) -> dict[str, Any]:
    """How many tokens went in, were found in the cache, and came out."""
    outputs = list(outputs)
    prompt = sum(len(output.prompt_token_ids) for output in outputs)
    new = sum(len(one.token_ids) for output in outputs for one in output.outputs)
    cached = sum(output.num_cached_tokens for output in outputs)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": new,
        "total_tokens": prompt + new,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


@dataclass(frozen=True)
class Spelling:
    """How log probabilities are written."""

    tokenizer: Tokenizer

    def text(self, token_id: int) -> str:
        """A token by itself."""
        return self.tokenizer.pieces([token_id])[0]

    def of_completion(self, logprobs: list[TokenLogprobs], offset: int) -> dict[str, Any]:
        """Lists side by side; `offset` is where the text begins."""
        tokens = [self.text(one.token_id) for one in logprobs]
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        return {
            "tokens": tokens,
            "token_logprobs": [one.logprob for one in logprobs],
            "top_logprobs": [{self.text(i): p for i, p in one.top} for one in logprobs],
            "text_offset": offsets,
        }

    def of_chat(self, logprobs: list[TokenLogprobs]) -> dict[str, Any]:
        """One object for each token."""
        return {"content": [self._entry(one) for one in logprobs], "refusal": None}

    def _entry(self, one: TokenLogprobs) -> dict[str, Any]:
        top = [self._token(token_id, logprob) for token_id, logprob in one.top]
        return {**self._token(one.token_id, one.logprob), "top_logprobs": top}

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        text, data = self.text(token_id), self.tokenizer.token_bytes(token_id)
        # JSON has no infinity: what cannot come at all is OpenAI's smallest number.
        return {
            "token": text,
            "logprob": max(logprob, -9999.0),
            "bytes": list(text.encode() if data is None else data),
        }


class Form(Protocol):
    """The shape of one kind of answer."""

    def whole(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """All of it."""
        ...

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Chunks in front of a choice's first one."""
        ...

    def chunk(
        self, index: int, text: str, logprobs: list[TokenLogprobs] | None, reason: str | None
    ) -> dict[str, Any]:
        """A piece of a choice."""
        ...

    def last(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """The chunk that says how many tokens there were."""
        ...


@dataclass
class _Named:
    """What every object of an answer begins with."""

    model: str
    spelling: Spelling
    wants_usage: bool
    id: str = field(default_factory=lambda: f"{getrandbits(128):032x}")
    """A name and no secret: asking the system for chance would hand the GIL to another thread."""
    created: int = field(default_factory=lambda: int(time.time()))
    offsets: dict[int, int] = field(default_factory=dict[int, int])
    """Where the next piece of each choice begins in its text."""

    def _object(self, prefix: str, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"{prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _piece(self, body: dict[str, Any]) -> dict[str, Any]:
        """With usage asked for, each chunk but the last says that it has none."""
        return {**body, "usage": None} if self.wants_usage else body


def _choices(outputs: list[RequestOutput]) -> list[tuple[int, CompletionOutput]]:
    return list(enumerate(one for output in outputs for one in output.outputs))


class CompletionForm(_Named):
    """`/v1/completions`."""

    def whole(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """All of it."""
        choices = [
            self._choice(i, one.text, one.logprobs, one.finish_reason, 0)
            | {"stop_reason": one.stop_reason}
            for i, one in _choices(outputs)
        ]
        return {**self._object("cmpl", "text_completion", choices), "usage": usage(outputs)}

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Nothing."""
        return []

    def chunk(
        self, index: int, text: str, logprobs: list[TokenLogprobs] | None, reason: str | None
    ) -> dict[str, Any]:
        """A piece of a choice."""
        offset = self.offsets.get(index, 0)
        self.offsets[index] = offset + len(text)
        choice = self._choice(index, text, logprobs, reason, offset)
        return self._piece(self._object("cmpl", "text_completion", [choice]))

    def last(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """How many tokens there were."""
        return {**self._object("cmpl", "text_completion", []), "usage": usage(outputs)}

    def _choice(
        self,
        index: int,
        text: str,
        logprobs: list[TokenLogprobs] | None,
        reason: str | None,
        offset: int,
    ) -> dict[str, Any]:
        said = None if logprobs is None else self.spelling.of_completion(logprobs, offset)
        return {"index": index, "text": text, "logprobs": said, "finish_reason": reason}


class ChatForm(_Named):
    """`/v1/chat/completions`."""

    def whole(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """All of it."""
        choices = [
            {
                "index": i,
                "message": {"role": "assistant", "content": one.text, "refusal": None},
                "logprobs": self._logprobs(one.logprobs),
                "finish_reason": one.finish_reason,
                "stop_reason": one.stop_reason,
            }
            for i, one in _choices(outputs)
        ]
        return {**self._object("chatcmpl", "chat.completion", choices), "usage": usage(outputs)}

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Who speaks."""
        return [self._delta(index, {"role": "assistant", "content": ""}, None, None)]

    def chunk(
        self, index: int, text: str, logprobs: list[TokenLogprobs] | None, reason: str | None
    ) -> dict[str, Any]:
        """A piece of a choice."""
        delta = {"content": text} if text or logprobs else {}
        return self._delta(index, delta, logprobs, reason)

    def last(self, outputs: list[RequestOutput]) -> dict[str, Any]:
        """How many tokens there were."""
        return {**self._object("chatcmpl", "chat.completion.chunk", []), "usage": usage(outputs)}

    def _delta(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: list[TokenLogprobs] | None,
        reason: str | None,
    ) -> dict[str, Any]:
        said = self._logprobs(logprobs)
        choice = {"index": index, "delta": delta, "logprobs": said, "finish_reason": reason}
        return self._piece(self._object("chatcmpl", "chat.completion.chunk", [choice]))

    def _logprobs(self, logprobs: list[TokenLogprobs] | None) -> dict[str, Any] | None:
        return None if logprobs is None else self.spelling.of_chat(logprobs)
