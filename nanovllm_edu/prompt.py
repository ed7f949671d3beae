"""From a prompt, in any of the forms that people write it, to token ids that a model knows.

A prompt may hold a hundred thousand tokens, so no line of Python looks at one: an array of C
integers takes in integers alone, and msgspec looks at type and range of all in one pass.

Read next: `intake.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from array import array
from functools import cache
from operator import countOf
from typing import Annotated, Any, NamedTuple, Protocol, TypeAlias

try:
    from msgspec import Meta, ValidationError, convert
except ImportError:  # a browser has the standard library and xxhash
    convert = None

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.errors import RequestError, broken_text, shown

Prompt: TypeAlias = Any
"""Text, token ids in any form, or one of vLLM's dictionaries; for an engine, one that was read."""


class Tokenizer(Decoder, Protocol):
    """The part of a tokenizer that the engine needs."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def pieces(self, token_ids: list[int]) -> list[str]: ...


class TokenPrompt(NamedTuple):
    """A prompt that was read.

    Attributes:
        text: As it was written, if it was text.
        token_ids: Packed to 8 bytes each.
    """

    text: str | None
    token_ids: "array[int]"


def read_prompts(prompts: Any, tokenizer: Tokenizer | None, vocab_size: int) -> list[TokenPrompt]:
    """All prompts of a call, read before the first of them is queued.

    Args:
        prompts: One prompt or a list of them. A list of integers is one prompt.
        tokenizer: For those in text.
        vocab_size: Token ids are in [0, vocab_size).

    Raises:
        RequestError: One cannot be read; says which.
    """
    if _is_one(prompts):
        return [read_prompt(prompts, tokenizer, vocab_size)]
    if hasattr(prompts, "ndim"):  # a table of numpy or torch: a prompt in each row
        prompts = list(prompts)
    if not isinstance(prompts, (list, tuple)):
        raise RequestError(
            f"prompts={shown(prompts)} is neither text, token ids nor a list of them."
        )
    return [
        read_prompt(prompt, tokenizer, vocab_size, f"prompts[{index}]: ")
        for index, prompt in enumerate(prompts)
    ]


def _is_one(prompts: Any) -> bool:
    """Whether this is a prompt, not a list of them."""
    if isinstance(prompts, (str, dict, array)):
        return True
    if hasattr(prompts, "ndim"):
        return prompts.ndim < 2
    first = next(iter(prompts), None) if isinstance(prompts, (list, tuple)) else None
    return as_integer(first) is not None


def read_prompt(
    prompt: Any, tokenizer: Tokenizer | None, vocab_size: int, where: str = ""
) -> TokenPrompt:
    """One prompt.

    Args:
        prompt: Text, token ids (a list, or an array of numpy, torch or Python), or vLLM's
            `{"prompt": ...}` or `{"prompt_token_ids": ...}`.
        tokenizer: For text.
        vocab_size: Token ids are in [0, vocab_size).
        where: What errors say first.

    Raises:
        RequestError: It is none of these, it is text and there is no tokenizer, it is empty, or a
            token id is not in [0, vocab_size).
    """
    if isinstance(prompt, dict):
        prompt = _unwrapped(prompt, where)
    text = None
    if isinstance(prompt, str):
        text = prompt
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise broken_text(error, f"{where}the prompt") from None
        if tokenizer is None:
            raise RequestError(f"{where}this engine has no tokenizer; give token ids.")
        prompt = tokenizer.encode(text)
    return TokenPrompt(text, _packed(prompt, vocab_size, where))


def _unwrapped(prompt: dict[Any, Any], where: str) -> Any:
    """What stands in vLLM's dictionary."""
    known = {"prompt", "prompt_token_ids"}
    values = [prompt[key] for key in sorted(known & prompt.keys()) if prompt[key] is not None]
    if prompt.keys() - known or not values:
        raise RequestError(
            f"{where}prompt={shown(prompt)} must hold one of 'prompt' and 'prompt_token_ids', "
            "and nothing else."
        )
    return values[-1]  # where both are given, the token ids are the text's


def _packed(prompt: Any, vocab_size: int, where: str) -> "array[int]":
    if hasattr(prompt, "tolist") and getattr(prompt, "typecode", "") != TOKEN_TYPE:
        prompt = prompt.tolist()  # of numpy, torch or Python
    if not isinstance(prompt, (list, tuple, array)):
        raise _no_prompt(prompt, where)
    try:
        token_ids = array(TOKEN_TYPE, prompt)  # 1.5 and "1" are a TypeError
    except TypeError:
        raise _no_prompt(prompt, where) from None
    except OverflowError:  # below 0, or too large for any vocabulary
        worst = next(i for i in prompt if not 0 <= i < vocab_size)
        raise _not_in_vocabulary(worst, vocab_size, where) from None
    if not token_ids:
        raise RequestError(f"{where}the prompt is empty; give at least one token.")
    if not are_tokens(prompt, vocab_size):  # another kind of integer may do, but is looked at
        if bool in map(type, prompt):  # False and True have become 0 and 1
            raise _no_prompt(prompt, where)
        if (largest := max(token_ids)) >= vocab_size:
            raise _not_in_vocabulary(largest, vocab_size, where)
    return token_ids


def plainly_are_tokens(prompt: Any, vocab_size: int) -> bool:
    """Whether all are Python's own integers, and below `vocab_size`: the reference."""
    return countOf(map(type, prompt), int) == len(prompt) and max(prompt) < vocab_size


def are_tokens(prompt: Any, vocab_size: int) -> bool:
    """The same, in a third of the time where msgspec is."""
    if convert is None:
        return plainly_are_tokens(prompt, vocab_size)
    try:
        convert(prompt, _tokens_below(vocab_size))
    except ValidationError:
        return False
    return True


@cache
def _tokens_below(vocab_size: int) -> Any:
    return list[Annotated[int, Meta(ge=0, lt=vocab_size)]]


def _no_prompt(prompt: object, where: str) -> RequestError:
    return RequestError(f"{where}prompt={shown(prompt)} is neither text nor token ids.")


def _not_in_vocabulary(token_id: int, vocab_size: int, where: str) -> RequestError:
    return RequestError(
        f"{where}token id {shown(token_id)} is not in [0, {vocab_size}), the vocabulary."
    )
