"""Prompts become integers that the model knows, or an error that says why not."""

from array import array

import numpy as np
import pytest
import torch

from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.errors import RequestError
from nanovllm_edu.prompt import read_prompt


class Spelling:
    """A tokenizer whose tokens are letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(map(chr, token_ids))


@pytest.mark.parametrize(
    "prompt",
    [
        [1, 2, 300],
        (1, 2, 300),
        np.array([1, 2, 300]),
        [1, np.int64(2), 300],
        array("q", [1, 2, 300]),
        torch.tensor([1, 2, 300]),
    ],
    ids=["list", "tuple", "numpy", "a numpy scalar among integers", "array", "tensor"],
)
def test_token_ids_become_plain_integers(prompt):
    token_ids = read_prompt(prompt, None, 301)
    assert token_ids == array(TOKEN_TYPE, [1, 2, 300])
    assert {type(token_id) for token_id in token_ids} == {int}


@pytest.mark.parametrize("prompt", [[1, 2], array(TOKEN_TYPE, [1, 2])], ids=["list", "array"])
def test_the_callers_tokens_are_copied(prompt):
    token_ids = read_prompt(prompt, None, 10)
    token_ids.append(3)
    assert list(prompt) == [1, 2]


def test_text_goes_through_the_tokenizer():
    assert list(read_prompt("ab", Spelling(), 128)) == [97, 98]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([], "empty"),
        ([3, 10], r"token id 10 is not in \[0, 10\)"),
        ([3, -1], r"token id -1 is not in \[0, 10\)"),
        ([3, 1 << 40], rf"token id {1 << 40} is not in \[0, 10\)"),
        ([1.0], "neither text nor token ids"),
        (["1"], "neither text nor token ids"),
        (b"abcdabcd", "neither text nor token ids"),
        ("text", "no tokenizer"),
    ],
)
def test_a_bad_prompt_is_refused(prompt, words):
    with pytest.raises(RequestError, match=words):
        read_prompt(prompt, None, 10)
