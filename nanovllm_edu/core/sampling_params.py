"""`SamplingParams`: how the next token of one request is chosen, and when the request ends.

Plain data, checked once when it is made. It knows nothing of logits; `nanovllm_edu/sampling`
applies it.

Read next: `core/sequence.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

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
        stop = (self.stop,) if isinstance(self.stop, str) else self._as_tuple("stop")
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "stop_token_ids", self._as_tuple("stop_token_ids"))
        self._check_number("temperature", 0.0, _UNBOUNDED, "0 is greedy, 1 the model's own odds")
        self._check_int("top_k", 0, "0 switches it off")
        self._check_number("top_p", 0.0, 1.0, "1 switches it off", low_open=True)
        self._check_number("min_p", 0.0, 1.0, "0 switches it off")
        self._check_number(
            "repetition_penalty", 0.0, _UNBOUNDED, "1 switches it off", low_open=True
        )
        self._check_number("presence_penalty", -2.0, 2.0, "0 switches it off")
        self._check_number("frequency_penalty", -2.0, 2.0, "0 switches it off")
        self._check_int("max_tokens", 1, "ask for at least one token")
        if self.seed is not None:
            self._check_int("seed", 0, "None lets the engine choose")
        if self.logprobs is not None:
            self._check_int("logprobs", 0, "None switches them off")
        self._check_stops()

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

    def _as_tuple(self, name: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        try:
            return tuple(value)
        except TypeError:
            raise ConfigError(f"{name}={value!r} is not a list; () switches it off.") from None

    def _check_number(
        self, name: str, low: float, high: float, remedy: str, *, low_open: bool = False
    ) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        inside = is_number and low <= value <= high and value != _UNBOUNDED
        if not inside or (low_open and value == low):
            bracket = "(" if low_open else "["
            raise ConfigError(f"{name}={value!r} is not in {bracket}{low}, {high}]; {remedy}.")

    def _check_int(self, name: str, low: int, remedy: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ConfigError(f"{name}={value!r} is not an integer >= {low}; {remedy}.")

    def _check_stops(self) -> None:
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ConfigError(f"stop={self.stop!r} must hold non-empty strings; remove the others.")
        if not all(isinstance(token_id, int) and token_id >= 0 for token_id in self.stop_token_ids):
            raise ConfigError(f"stop_token_ids={self.stop_token_ids!r} must hold integers >= 0.")
