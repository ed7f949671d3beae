"""`Intake`: from a request to a sequence.

The one place where the engine meets what a user wrote: a prompt, in text or token ids, and how to
go on from there. It becomes a `Sequence`, or an error that says what is wrong with it. Stop strings
are text too, so they are looked for here.

Read next: `prompt.py`; then `engine.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.errors import ConfigError, RequestError
from nanovllm_edu.prompt import Tokenizer, read_prompt

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

    def sequence(
        self, seq_id: int, prompt: str | list[int], params: SamplingParams | None
    ) -> Sequence:
        """The sequence that a request becomes.

        Raises:
            RequestError: Empty prompt, a token id out of range, or text without a tokenizer.
        """
        params = params if params is not None else SamplingParams()
        if not isinstance(params, SamplingParams):
            raise RequestError(f"sampling_params={params!r} is not a SamplingParams object.")
        token_ids = read_prompt(prompt, self.tokenizer, self.vocab_size)
        if params.stop and self.tokenizer is None:
            raise RequestError(f"stop={params.stop!r} needs a tokenizer; use stop_token_ids.")
        seed = params.seed if params.seed is not None else self.seed * 1_000_003 + seq_id
        return Sequence(seq_id, token_ids, len(token_ids), params, seed)

    def find_stop(self, seq: Sequence, tokens: Seq[int]) -> str | None:
        """The stop string that the last of `tokens`, the next ones of `seq`, completes.

        A string of n bytes spans at most n tokens, so a short tail of the text is enough.
        """
        assert self.tokenizer is not None
        num_tail_tokens = max(len(stop.encode()) for stop in seq.params.stop) + 4
        start = max(seq.num_prompt_tokens, len(seq.token_ids) - num_tail_tokens)
        text = self.tokenizer.decode([*seq.token_ids[start:], *tokens])
        return next((stop for stop in seq.params.stop if stop in text), None)


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
