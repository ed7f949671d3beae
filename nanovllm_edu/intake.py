"""`Intake`: from a request to a sequence.

The one place where the engine meets what a user wrote: a prompt, in text or token ids, and how to
go on from there. It becomes a `Sequence`, or an error that says what is wrong with it. Stop strings
are text too, so they are looked for here.

Read next: `prompt.py`; then `engine.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Judge, Sequence
from nanovllm_edu.errors import ConfigError, RequestError
from nanovllm_edu.prompt import Prompt, Tokenizer, read_prompt

CHANGEABLE = {"temperature", "top_k", "top_p", "min_p"}
"""Sampling parameters that may change while a request runs: each is read anew in every step."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Makes sequences of requests.

    Attributes:
        tokenizer: None if prompts come as token ids.
        vocab_size: Token ids are in [0, vocab_size).
        seed: Requests without a seed of their own get one derived from this and their seq_id.
    """

    tokenizer: Tokenizer | None
    vocab_size: int
    seed: int

    def read(
        self, prompt: Prompt, params: SamplingParams | None
    ) -> "tuple[array[int], SamplingParams]":
        """Token ids and sampling parameters of a request.

        Raises:
            RequestError: Empty prompt, a token id out of range, or text without a tokenizer.
        """
        params = params if params is not None else SamplingParams()
        if not isinstance(params, SamplingParams):
            raise RequestError(f"sampling_params={params!r} is not a SamplingParams object.")
        if params.stop and self.tokenizer is None:
            raise RequestError(f"stop={params.stop!r} needs a tokenizer; use stop_token_ids.")
        return read_prompt(prompt, self.tokenizer, self.vocab_size), params

    def sequence(self, seq_id: int, token_ids: "array[int]", params: SamplingParams) -> Sequence:
        """The sequence that a request becomes."""
        seed = params.seed if params.seed is not None else self.seed * 1_000_003 + seq_id
        return Sequence(seq_id, token_ids, len(token_ids), params, seed)

    def judge(self, seq: Sequence) -> Judge | None:
        """Who decides by its text whether `seq` ends, if it has stop strings."""
        if not seq.params.stop or self.tokenizer is None:
            return None
        return _TailJudge(self.tokenizer, seq.params.stop, seq.ending_token_ids)


class _End(NamedTuple):
    num_tokens: int
    stop: str | None


@dataclass(slots=True)
class _TailJudge:
    tokenizer: Tokenizer
    stop: tuple[str, ...]
    ending: frozenset[int]
    token_ids: list[int] = field(default_factory=list[int])

    def add(self, token_ids: Iterable[int]) -> _End | None:
        num_tail_tokens = max(len(stop.encode()) for stop in self.stop) + 4
        for count, token_id in enumerate(token_ids, 1):
            self.token_ids.append(token_id)
            if token_id in self.ending:
                return _End(count, None)
            text = self.tokenizer.decode(self.token_ids[-num_tail_tokens:])
            if found := [stop for stop in self.stop if stop in text]:
                return _End(count, found[0])
        return None


def updated(params: SamplingParams, changes: dict[str, Any]) -> SamplingParams:
    """The parameters of a running request with some of them changed.

    Raises:
        ConfigError: Another option was to be changed, or a value is out of range.
    """
    unknown = changes.keys() - CHANGEABLE
    if unknown:
        raise ConfigError(
            f"update_request() cannot change {sorted(unknown)}; it can change {sorted(CHANGEABLE)}."
        )
    return replace(params, **changes)
