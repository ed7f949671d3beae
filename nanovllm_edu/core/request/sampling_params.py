"""`SamplingParams`: how the next token of one request is chosen, and when the request ends.

Plain data, checked once when it is made: a value that is accepted fits the number a device will
hold it in. It knows nothing of logits; `nanovllm_edu/sampling` applies it.

Read next: `core/request/option_checks.py`, `core/request/structured_outputs.py`, then
`core/request/sequence.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Self, cast

from nanovllm_edu.core.request.option_checks import (
    Check,
    biases,
    flag,
    integer,
    not_yet,
    number,
    runs_of_token_ids,
    some_token_ids,
    strings,
    token_ids,
)
from nanovllm_edu.core.request.structured_outputs import (
    StructuredOutputsParams,
    structured_outputs,
)
from nanovllm_edu.errors import ConfigError, unknown_option

_UNBOUNDED = float("inf")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Options of one request, with vLLM's names and meanings.

    Attributes:
        temperature: Logits are divided by it; 0 means greedy (always the likeliest token).
        top_k: Keep the k likeliest tokens; 0 (or -1) keeps all.
        top_p: Keep the smallest set of tokens whose probabilities reach this sum (nucleus).
        min_p: Keep tokens at least this many times as likely as the likeliest.
        repetition_penalty: > 1 discourages tokens already in the prompt or output.
        presence_penalty: Subtracted once from each token already in the output.
        frequency_penalty: Subtracted per occurrence in the output.
        seed: Random numbers come from (seed, position), so the same seed gives the same tokens
            in any batch. None lets the engine choose one per request.
        max_tokens: Generate at most this many tokens; None goes on to `max_model_len`.
        stop: Strings that end the request as soon as the text contains one.
        stop_token_ids: Tokens that end the request; their text is left out.
        ignore_eos: Keep going after the end-of-sequence token (for benchmarks).
        logprobs: Return the log probabilities of this many likeliest tokens at each position.
        skip_special_tokens: Leave special tokens out of the text.
        include_stop_str_in_output: Keep the stop string, or the text of the ending token.
        min_tokens: Nothing but the length ends the request before this many tokens: until then
            the tokens that would end it cannot be drawn.
        n: Answers to each prompt, which is computed once for all of them. The first has the seed,
            the others one derived from it (`sample_seed`).
        prompt_logprobs: Not supported yet.
        logit_bias: Token id -> what is added to its logit, in [-100, 100]; kept as pairs.
        bad_words: Words that never come, at the beginning of a text or in it.
        allowed_token_ids: Nothing but these tokens can be drawn; None allows all.
        bad_words_token_ids: Runs of tokens that never come. The engine adds those of `bad_words`.
        structured_outputs: The form that the answer must have: a `StructuredOutputsParams`, or a
            dictionary of its fields.

    Raises:
        ConfigError: An option is unknown, or a value is not one of its option's.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    max_tokens: int | None = 64
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    min_tokens: int = 0
    n: int = 1
    prompt_logprobs: int | None = None
    logit_bias: Mapping[int, float] | tuple[tuple[int, float], ...] | None = None
    bad_words: tuple[str, ...] = ()
    allowed_token_ids: tuple[int, ...] | None = None
    bad_words_token_ids: tuple[tuple[int, ...], ...] = ()
    structured_outputs: StructuredOutputsParams | None = None

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Refuses a misspelt option, which `__init__` would call a TypeError."""
        if not _NAMES.issuperset(options):
            name = next(iter(options.keys() - _NAMES))
            known = cls.__dataclass_fields__
            raise unknown_option(name, options[name], known, _OTHER_NAMES.get(name))
        return object.__new__(cls)

    def __post_init__(self) -> None:
        # A default is right as it is.
        for name in compress(_DEFAULTS, map(is_not, _VALUES(self), _DEFAULTS.values())):
            object.__setattr__(self, name, _CHECKS[name](name, getattr(self, name)))
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ConfigError(
                f"min_tokens={self.min_tokens} exceeds max_tokens={self.max_tokens}; lower it."
            )

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0.0

    @property
    def needs_history(self) -> bool:
        """Whether the next token depends on which tokens came before, beyond the model."""
        return self.has_penalty or any(len(words) > 1 for words in self.bad_words_token_ids)

    @property
    def edits_logits(self) -> bool:
        """Whether single logits are edited, so that another token may become the likeliest."""
        return bool(
            self.min_tokens
            or self.logit_bias
            or self.allowed_token_ids
            or self.bad_words_token_ids
            or self.structured_outputs
            or self.has_penalty
        )

    @property
    def biases(self) -> tuple[tuple[int, float], ...]:
        """(token id, what is added to its logit), in the order of the ids."""
        return cast(tuple[tuple[int, float], ...], self.logit_bias or ())

    @property
    def has_penalty(self) -> bool:
        """Whether what was said already becomes less likely."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON-ready values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.structured_outputs is not None:
            values["structured_outputs"] = self.structured_outputs.to_dict()
        return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return [*map(_plain, cast(tuple[Any, ...], value))] if isinstance(value, tuple) else value


def sample_seed(seed: int, index: int) -> int:
    """The seed of a request's answer number `index`: 0 has the request's own.

    Steps of 2^64 / (golden ratio) keep away from the small numbers that people choose, so that the
    answers of seed 1 are not those of seed 2, shifted.
    """
    return (seed + index * 0x9E3779B97F4A7C15) % 2**64


_OTHER_NAMES = {
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "eos_token_id": "stop_token_ids",
}
"""What other libraries call an option."""

_CHECKS: dict[str, Check] = {
    "temperature": number(0.0, _UNBOUNDED, "0 is greedy, 1 the model's own odds"),
    "top_k": integer(0, "0 switches it off", also={-1: 0}),
    "top_p": number(0.0, 1.0, "1 switches it off", is_open=True),
    "min_p": number(0.0, 1.0, "0 switches it off"),
    "repetition_penalty": number(0.0, _UNBOUNDED, "1 switches it off", is_open=True),
    "presence_penalty": number(-2.0, 2.0, "0 switches it off"),
    "frequency_penalty": number(-2.0, 2.0, "0 switches it off"),
    "seed": integer(0, "None lets the engine choose", below=2**64),
    "max_tokens": integer(
        1, "ask for at least one token, or None for all that fit", also={None: None}
    ),
    "stop": strings("non-empty strings without half characters"),
    "stop_token_ids": token_ids,
    "ignore_eos": flag,
    "logprobs": integer(0, "None switches them off"),
    "skip_special_tokens": flag,
    "include_stop_str_in_output": flag,
    "min_tokens": integer(0, "0 switches it off"),
    "n": integer(1, "ask for at least one answer", also={None: 1}),
    # To support it, put its check here.
    "prompt_logprobs": not_yet((None,), "leave it out"),
    "logit_bias": biases,
    "bad_words": strings("words without half characters"),
    "allowed_token_ids": some_token_ids,
    "bad_words_token_ids": runs_of_token_ids,
    "structured_outputs": structured_outputs,
}
_DEFAULTS = {f.name: f.default for f in fields(SamplingParams)}
_NAMES = frozenset(_DEFAULTS)
_VALUES = attrgetter(*_DEFAULTS)
