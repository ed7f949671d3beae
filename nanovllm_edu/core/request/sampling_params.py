"""`SamplingParams`: how the next token of one request is chosen, and when the request ends.

Plain data, checked once when it is made. It knows nothing of logits; `nanovllm_edu/sampling`
applies it.

Read next: `core/request/sequence.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from nanovllm_edu.errors import ConfigError

_UNBOUNDED = float("inf")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Options of one request, with vLLM's names and meanings.

    Attributes:
        temperature: Logits are divided by it; 0 means greedy (always the likeliest token).
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the smallest set of tokens whose probabilities reach this sum (nucleus).
        min_p: Keep tokens at least this many times as likely as the likeliest.
        repetition_penalty: > 1 discourages tokens already in the prompt or output.
        presence_penalty: Subtracted once from each token already in the output.
        frequency_penalty: Subtracted per occurrence in the output.
        seed: Random numbers come from (seed, position), so the same seed gives the same tokens
            in any batch. None lets the engine choose one per request.
        max_tokens: Generate at most this many tokens.
        stop: Strings that end the request as soon as the text contains one.
        stop_token_ids: Tokens that end the request.
        ignore_eos: Keep going after the end-of-sequence token (for benchmarks).
        logprobs: Return the log probabilities of this many likeliest tokens at each position.
        skip_special_tokens: Leave special tokens out of the text.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    skip_special_tokens: bool = True

    def __post_init__(self) -> None:
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value is not default:  # a default is right as it is
                object.__setattr__(self, name, _CHECKS[name](name, value))

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0.0

    @property
    def needs_history(self) -> bool:
        """Whether a penalty makes the next token depend on which tokens came before."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON-ready values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return values | {"stop": list(self.stop), "stop_token_ids": list(self.stop_token_ids)}


Check = Callable[[str, Any], Any]
"""Takes an option's name and value, and returns the value to keep.

Raises:
    ConfigError: The value is not one of this option's.
"""


def _number(low: float, high: float, remedy: str, *, low_open: bool = False) -> Check:
    def check(name: str, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        inside = is_number and low <= value <= high and value != _UNBOUNDED
        if not inside or (low_open and value == low):
            bracket = "(" if low_open else "["
            raise ConfigError(f"{name}={value!r} is not in {bracket}{low}, {high}]; {remedy}.")
        return value

    return check


def _integer(low: int, remedy: str) -> Check:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ConfigError(f"{name}={value!r} is not an integer >= {low}; {remedy}.")
        return value

    return check


def _all(is_right: Callable[[Any], bool], what: str) -> Check:
    def check(name: str, value: Any) -> Any:
        try:
            values = (value,) if isinstance(value, str) else tuple(value)
        except TypeError:
            raise ConfigError(f"{name}={value!r} is not a list; () switches it off.") from None
        if not all(map(is_right, values)):
            raise ConfigError(f"{name}={values!r} must hold {what}; remove the others.")
        return values

    return check


_CHECKS: dict[str, Check] = {
    "temperature": _number(0.0, _UNBOUNDED, "0 is greedy, 1 the model's own odds"),
    "top_k": _integer(0, "0 switches it off"),
    "top_p": _number(0.0, 1.0, "1 switches it off", low_open=True),
    "min_p": _number(0.0, 1.0, "0 switches it off"),
    "repetition_penalty": _number(0.0, _UNBOUNDED, "1 switches it off", low_open=True),
    "presence_penalty": _number(-2.0, 2.0, "0 switches it off"),
    "frequency_penalty": _number(-2.0, 2.0, "0 switches it off"),
    "seed": _integer(0, "None lets the engine choose"),
    "max_tokens": _integer(1, "ask for at least one token"),
    "stop": _all(lambda text: isinstance(text, str) and text != "", "non-empty strings"),
    "stop_token_ids": _all(lambda i: isinstance(i, int) and i >= 0, "integers >= 0"),
    "logprobs": _integer(0, "None switches them off"),
}
_DEFAULTS = {f.name: f.default for f in fields(SamplingParams) if f.name in _CHECKS}
