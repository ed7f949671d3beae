"""What a client may send: OpenAI's names, and vLLM's for what OpenAI has not.

These are shapes only. Whether a value is in range is for `SamplingParams` to say, which says it
better; what one client may ask for at most is in `serve/limits.py`.

Read next: `serve/answers.py`.
"""

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import RequestError, shown
from nanovllm_edu.serve.limits import ServeLimits

TokenIds = list[int]

MOST_LOGPROBS = 20
"""Likeliest tokens that may be asked for at each position, as at OpenAI."""


class Body(BaseModel):
    """A body: other fields than these are an error, not a default."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(Body):
    """`include_usage` asks for a last chunk with the number of tokens."""

    include_usage: bool = False
    include_obfuscation: bool = Field(False, description="Taken and not needed.")


class JsonSchema(Body):
    """A schema that the answer must fit."""

    name: str = ""
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """What the text of the answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Sampled(Body):
    """What completions and chats have in common. None: the model's own default."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    response_format: ResponseFormat | None = None
    # vLLM's.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    stop_token_ids: TokenIds | None = None
    bad_words: list[str] | None = None
    allowed_token_ids: TokenIds | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    # Labels that clients send along; nothing here depends on them.
    user: str | None = Field(None, description="Taken and not looked at.")
    metadata: dict[str, str] | None = Field(None, description="Taken and not looked at.")
    store: bool | None = Field(None, description="Taken; nothing is ever stored.")

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def num_logprobs(self) -> int | None:
        """Likeliest tokens at each position; None for no log probabilities."""
        raise NotImplementedError

    def num_new_tokens(self) -> int | None:
        """Tokens that were asked for; None if nothing was said."""
        return self.max_tokens

    def sampling_params(self, default: SamplingParams, limits: ServeLimits) -> SamplingParams:
        """The request's parameters.

        Args:
            default: What the model's folder recommends, for what was left out.
            limits: What may be asked for.

        Raises:
            RequestError: More was asked for than may be.
            ConfigError: A value is out of range.
        """
        given = self.model_dump(include=PARAMETERS, exclude_none=True)
        if self.logit_bias is not None:
            given["logit_bias"] = {_token_id(k): v for k, v in self.logit_bias.items()}
        logprobs, asked = self.num_logprobs(), self.num_new_tokens()
        if logprobs is not None and logprobs > MOST_LOGPROBS:
            raise RequestError(f"logprobs={shown(logprobs)} exceeds {MOST_LOGPROBS}; lower it.")
        most = limits.max_tokens
        if asked is not None and most is not None and asked > most:
            raise RequestError(f"max_tokens={shown(asked)} exceeds this server's {most}; lower it.")
        given |= structured_outputs(self.response_format)
        max_tokens = most if asked is None else asked
        return replace(default, **given, logprobs=logprobs, max_tokens=max_tokens)


PARAMETERS = {
    *("n", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop"),
    *("top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos", "stop_token_ids"),
    *("bad_words", "allowed_token_ids", "skip_special_tokens", "include_stop_str_in_output"),
}
"""Fields that `SamplingParams` has by the same name."""


def structured_outputs(wanted: ResponseFormat | None) -> dict[str, Any]:
    """The field of `SamplingParams` that makes the text fit a format."""
    if wanted is None or wanted.type == "text":
        return {}
    if wanted.type == "json_object":
        return {"structured_outputs": {"json_object": True}}
    schema = wanted.json_schema and wanted.json_schema.json_schema
    if schema is None:
        raise RequestError(
            "response_format of type json_schema has no json_schema.schema; write "
            "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': {...}}}."
        )
    return {"structured_outputs": {"json": schema}}


class CompletionRequest(Sampled):
    """`POST /v1/completions`: goes on with a text."""

    prompt: str | TokenIds | list[str] | list[TokenIds]
    logprobs: int | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    def num_logprobs(self) -> int | None:
        return self.logprobs

    def num_new_tokens(self) -> int | None:
        return 16 if self.max_tokens is None else self.max_tokens  # as at OpenAI

    @property
    def prompts(self) -> list[Any]:
        """One or several, each text or token ids."""
        is_one = isinstance(self.prompt, str) or (
            bool(self.prompt) and isinstance(self.prompt[0], int)
        )
        return [self.prompt] if is_one else list(self.prompt)


class ChatRequest(Sampled):
    """`POST /v1/chat/completions`: answers a conversation."""

    messages: list[dict[str, Any]]
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_completion_tokens: int | None = None
    # vLLM's.
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None

    def num_logprobs(self) -> int | None:
        if not self.logprobs:
            if self.top_logprobs:
                raise RequestError("top_logprobs needs logprobs=true; add it.")
            return None
        return self.top_logprobs or 0

    def num_new_tokens(self) -> int | None:
        both = (self.max_completion_tokens, self.max_tokens)
        return next((number for number in both if number is not None), None)


class TokenizeRequest(Body):
    """`POST /tokenize`: a text or a conversation as tokens, as at vLLM."""

    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True
    return_token_strs: bool = False


def _token_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise RequestError(f"logit_bias holds {shown(text)}, which is no token id; remove it.")
    return int(text)
