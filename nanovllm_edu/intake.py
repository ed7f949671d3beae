"""`Intake`: from a request to its sequences: one, or `n`.

The one place where the engine meets what a user wrote: a prompt, in text or token ids, and how to
go on from there. It becomes a `Sequence`, or an error that says what is wrong with it. Where text
ends is decided by the `TextJudge` that it gives to each request.

Read next: `prompt.py`, `text_judge.py`, `grammar.py`; then `engine.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams, sample_seed
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.request.structured_outputs import StructuredOutputsParams
from nanovllm_edu.errors import ConfigError, RequestError, shown
from nanovllm_edu.grammar import Grammar, Grammars
from nanovllm_edu.prompt import Prompt, Tokenizer, TokenPrompt, read_prompt
from nanovllm_edu.text_judge import TextJudge

_DEFAULT_PARAMS = SamplingParams()

CHANGEABLE = {"temperature", "top_k", "top_p", "min_p"}
"""Sampling parameters that may change while a request runs: each is read anew in every step."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Makes sequences of requests.

    Attributes:
        tokenizer: None if prompts come as token ids.
        vocab_size: Token ids are in [0, vocab_size).
        seed: Requests without a seed of their own get one derived from this and their seq_id.
        max_num_seqs: So many answers to one prompt can run side by side.
        grammars: Compiles what `structured_outputs` asks for; None refuses it.
        eos_token_ids: Tokens by which the model ends.
    """

    tokenizer: Tokenizer | None
    vocab_size: int
    seed: int
    max_num_seqs: int = 64
    grammars: Grammars | None = None
    eos_token_ids: frozenset[int] = frozenset()

    def preparation(self, params: SamplingParams | None) -> Callable[[], object] | None:
        """What `read` would wait for, to be done elsewhere before: its grammar. None: nothing."""
        wanted = getattr(params, "structured_outputs", None)
        if wanted is None or self.grammars is None or self.grammars.is_ready(wanted):
            return None
        return partial(self.grammars.of, wanted)

    def read(
        self, requests: Iterable[tuple[Prompt, SamplingParams | None]]
    ) -> "list[tuple[array[int], SamplingParams]]":
        """Token ids and sampling parameters of each. What requests share is checked once.

        Raises:
            RequestError: Empty prompt, a token id out of range, or text without a tokenizer.
        """
        read: list[tuple[array[int], SamplingParams]] = []
        before, checked = None, _DEFAULT_PARAMS
        for prompt, params in requests:
            if params is not before:
                before, checked = params, self._checked(params)
            if isinstance(prompt, TokenPrompt):
                token_ids = prompt.token_ids[:]
            else:
                token_ids = read_prompt(prompt, self.tokenizer, self.vocab_size).token_ids
            read.append((token_ids, checked))
        return read

    def _checked(self, params: SamplingParams | None) -> SamplingParams:
        """The parameters as they are kept, with tokens for words."""
        if params is None:
            return _DEFAULT_PARAMS
        if not isinstance(params, SamplingParams):
            raise RequestError(f"sampling_params={shown(params)} is not a SamplingParams object.")
        self._check_tokens(params)
        if params.n > self.max_num_seqs:
            raise RequestError(
                f"n={params.n} answers to one prompt run side by side, and max_num_seqs="
                f"{self.max_num_seqs} sequences can; ask for fewer, or raise max_num_seqs."
            )
        if params.stop and self.tokenizer is None:
            raise RequestError(f"stop={shown(params.stop)} needs a tokenizer; use stop_token_ids.")
        if params.bad_words:
            runs = params.bad_words_token_ids + tuple(self._runs_of(params.bad_words))
            params = replace(params, bad_words_token_ids=tuple(dict.fromkeys(runs)))
        if params.structured_outputs is not None:
            self._check_beginning(params, params.structured_outputs)
        return params

    def _check_beginning(self, params: SamplingParams, wanted: StructuredOutputsParams) -> None:
        """Refuses an impossible form, and options under which it cannot even begin."""
        grammar = self._grammar(wanted)
        forbidden = {words[0] for words in params.bad_words_token_ids if len(words) == 1}
        if params.min_tokens:
            forbidden |= {*params.stop_token_ids}
            forbidden |= set() if params.ignore_eos else self.eos_token_ids
        if not grammar.can_begin(params.allowed_token_ids, forbidden):
            options = {
                "allowed_token_ids": params.allowed_token_ids,
                "bad_words": params.bad_words_token_ids,
                "min_tokens": params.min_tokens,
            }
            given = ", ".join(f"{name}={shown(one)}" for name, one in options.items() if one)
            raise RequestError(
                f"structured_outputs={shown(wanted.to_dict())} cannot begin: none of the tokens "
                f"that it may begin with is left by {given}; change one of them."
            )

    def _check_tokens(self, params: SamplingParams) -> None:
        """Refuses a token that does not exist."""
        for name, token_ids in (
            ("stop_token_ids", params.stop_token_ids),
            ("allowed_token_ids", params.allowed_token_ids or ()),
            ("logit_bias", dict(params.biases)),
            ("bad_words_token_ids", chain.from_iterable(params.bad_words_token_ids)),
        ):
            for token_id in token_ids:
                if token_id >= self.vocab_size:
                    raise RequestError(
                        f"{name} holds {token_id}, which is not in [0, {self.vocab_size}), the "
                        "vocabulary; remove it."
                    )

    def _runs_of(self, words: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
        """The tokens of each word at the beginning of a text, and after a space, as in vLLM."""
        if self.tokenizer is None:
            raise RequestError(
                f"bad_words={shown(words)} needs a tokenizer; use bad_words_token_ids."
            )
        for word in words:
            first, inside = (
                tuple(self.tokenizer.encode(text, add_special_tokens=False))
                for text in (word.lstrip(), f" {word.lstrip()}")
            )
            if not first:
                raise RequestError(f"bad_words holds {word!r}, which is no token; remove it.")
            yield first
            if inside[0] != first[0] and len(inside) == len(first):
                yield inside

    def sequences(
        self, first_id: int, token_ids: "array[int]", params: SamplingParams
    ) -> Iterator[Sequence]:
        """The sequences that a request becomes: one for each answer, with ids in a row.

        `token_ids` is the first one's from then on.
        """
        prompt_id = first_id if params.n > 1 else None
        for index in range(params.n):
            seq_id = first_id + index
            if params.seed is None:
                seed = self.seed * 1_000_003 + seq_id
            else:
                seed = sample_seed(params.seed, index)
            own = token_ids[:] if index else token_ids
            seq = Sequence(seq_id, own, len(own), params, seed, prompt_id)
            if params.structured_outputs is not None:
                seq.grammar = self._grammar(params.structured_outputs)
            yield seq

    def _grammar(self, wanted: StructuredOutputsParams) -> Grammar:
        if self.grammars is None:
            raise RequestError(f"structured_outputs={shown(wanted.to_dict())} needs a tokenizer.")
        return self.grammars.of(wanted)

    def judge(self, seq: Sequence) -> TextJudge:
        """Who decides by its text whether `seq`, which has stop strings, ends."""
        assert self.tokenizer is not None, "stop strings without a tokenizer are refused"
        return TextJudge(self.tokenizer, seq.params, seq.ending_token_ids)


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
