"""From a prompt, text or token ids, to token ids that a model knows.

A prompt may hold a hundred thousand tokens, so none of them is looked at in Python: an array of C
integers takes in integers alone, and numpy finds the largest.

Read next: `intake.py`, the only caller.
"""

from array import array
from typing import Protocol

import numpy as np

from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.errors import RequestError

Prompt = str | list[int]


class Tokenizer(Protocol):
    """The part of a tokenizer that the engine needs, and `pieces` for those who look at it."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, token_ids: list[int]) -> str: ...

    def pieces(self, token_ids: list[int]) -> list[str]: ...


def read_prompt(
    prompt: str | list[int], tokenizer: Tokenizer | None, vocab_size: int
) -> "array[int]":
    """The token ids of a prompt, packed to 8 bytes each.

    Raises:
        RequestError: It is neither text nor token ids, it is text and there is no tokenizer, it is
            empty, or a token id is not in [0, vocab_size).
    """
    if isinstance(prompt, str):
        if tokenizer is None:
            raise RequestError("this engine has no tokenizer; give token ids.")
        prompt = tokenizer.encode(prompt)
    token_ids = _packed(prompt, vocab_size)
    if not token_ids:
        raise RequestError("the prompt is empty; give at least one token.")
    if (largest := np.frombuffer(token_ids, np.uint64).max()) >= vocab_size:
        raise _not_in_vocabulary(largest, vocab_size)
    return token_ids


def _packed(prompt: list[int], vocab_size: int) -> "array[int]":
    if isinstance(prompt, (bytes, bytearray)):  # which an array would take for raw memory
        raise _no_prompt(prompt)
    try:
        return array(TOKEN_TYPE, prompt)  # 1.5 and "1" are a TypeError
    except TypeError:
        raise _no_prompt(prompt) from None
    except OverflowError:  # below 0, or too large for any vocabulary
        worst = next(i for i in prompt if not 0 <= i < vocab_size)
        raise _not_in_vocabulary(worst, vocab_size) from None


def _no_prompt(prompt: object) -> RequestError:
    return RequestError(f"prompt={prompt!r} is neither text nor token ids.")


def _not_in_vocabulary(token_id: int, vocab_size: int) -> RequestError:
    return RequestError(f"token id {token_id} is not in [0, {vocab_size}), the vocabulary.")
