"""Token masks by hand: which tokens may come next, and an engine that draws among them alone.

    machine = Choices(["yes", "no"], vocabulary, end)
    machine.allowed([])                   token ids with which one of the texts can begin
    write(llm, prompt, machine.allowed)   the token ids of an answer that keeps to them

    write_guessing(llm, prompt, machine, masks)   the same, several tokens a step

The mask is set from outside, between two steps, so one can see when it is known and when it is
used. A library does the same for regular expressions and JSON, inside the engine.

Read next: `lesson_15.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.llm import LLM
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingTensors
from nanovllm_edu.tokenizer import Tokenizer

Allowed = Callable[[list[int]], list[int]]
"""Tokens so far -> token ids that may come next."""

Masks = Callable[[Allowed, list[int], list[int]], Sequence[Sequence[int]]]
"""(who knows what is allowed, tokens so far, guesses) -> a mask for each place of the step."""


def texts_of_tokens(tokenizer: Tokenizer, vocab_size: int) -> dict[int, str]:
    """Token id -> its text, of all tokens that are text: no special ones, no halves of letters."""
    ids = range(vocab_size)
    spelt = {token: tokenizer.decode([token]) for token in ids}  # special ones become ""
    return {token: text for token, text in spelt.items() if text and "\ufffd" not in text}


class Choices:
    """Knows which tokens may follow if the answer is to be one of a few texts.

    Args:
        texts: The answers.
        vocabulary: Token id -> its text.
        end: The token that ends an answer.
    """

    def __init__(self, texts: Sequence[str], vocabulary: Mapping[int, str], end: int) -> None:
        self.texts, self.vocabulary, self.end = texts, vocabulary, end

    def allowed(self, token_ids: list[int]) -> list[int]:
        """What may come next; nothing after the end.

        Raises:
            ValueError: None of the texts begins like this.
        """
        said = "".join(self.vocabulary[token] for token in token_ids if token != self.end)
        rest = [text[len(said) :] for text in self.texts if text.startswith(said)]
        if not rest:
            raise ValueError(f"no answer begins with {said!r}")
        if self.end in token_ids:
            return []
        able = [t for t, text in self.vocabulary.items() if any(r.startswith(text) for r in rest)]
        return [*able, self.end] if "" in rest else able


class MaskedSampler(Sampler):
    """The engine's sampler, which draws row i among the token ids of `masks[i]` alone.

    Attributes:
        masks: For each row of logits of the next step; an empty one forbids nothing. They may be
            more than the rows: near its end a request takes fewer guesses than were made.
    """

    def __init__(self) -> None:
        self.masks: Sequence[Sequence[int]] = ()

    def choose(self, logits: Tensor, params: SamplingTensors) -> Tensor:
        """The tokens alone."""
        masked = torch.full_like(logits, -torch.inf)
        for row, allowed in zip(range(len(logits)), self.masks, strict=False):
            ids = list(allowed) or slice(None)
            masked[row, ids] = logits[row, ids]
        return super().choose(masked, params)


def write(
    llm: LLM,
    prompt: Any,
    allowed: Allowed,
    params: SamplingParams | None = None,
    depth: int = 0,
) -> list[int]:
    """One answer, drawn under masks that are set after each step.

    Args:
        llm: Its sampler is replaced.
        prompt: Text or token ids.
        allowed: Asked after each step, with what is known then.
        params: How to sample.
        depth: 1 plans and launches the next step before the tokens of this one are known.
    """
    sampler = MaskedSampler()
    llm.engine.runner._sampler = sampler  # type: ignore[attr-defined]
    sampler.masks = [allowed([])]
    seq_id = llm.engine.add_request(prompt, params or SamplingParams(max_tokens=16))
    said: list[int] = []
    for record in llm.engine.run(depth):
        said += record.new_tokens.get(seq_id, ())
        try:
            sampler.masks = [allowed(said)]
        except ValueError:  # what was said is none of the answers: go on without a mask
            sampler.masks = [[]]
    return said


class GuessesAndMasks:
    """A proposer that guesses along one of the choices, and masks the places of the step.

    A proposer is asked while a step is planned, with all tokens known: just when masks are due.
    """

    def __init__(
        self, machine: Choices, masks: Masks, sampler: MaskedSampler, num_prompt: int
    ) -> None:
        self._machine, self._masks, self._sampler = machine, masks, sampler
        self._num_prompt = num_prompt

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        """Up to three tokens of an answer that begins like this."""
        said, guesses = list(token_ids[self._num_prompt :]), list[int]()
        random = Random(len(said))
        while len(guesses) < 3 and (able := self._machine.allowed(said + guesses)):
            guesses.append(random.choice(able))
        self._sampler.masks = self._masks(self._machine.allowed, said, guesses)
        return guesses


def write_guessing(
    llm: LLM, prompt: list[int], machine: Choices, masks: Masks, params: SamplingParams
) -> list[list[int]]:
    """The tokens of each step of one answer, guessed at, with a mask for each place."""
    sampler = MaskedSampler()
    sampler.masks = [machine.allowed([])]
    proposer = GuessesAndMasks(machine, masks, sampler, len(prompt))
    engine = llm.engine.fork(draft_proposer=proposer)
    engine.runner._sampler = sampler  # type: ignore[attr-defined]
    seq_id = engine.add_request(prompt, params)
    return [list(record.new_tokens.get(seq_id, ())) for record in engine.run(0)]
