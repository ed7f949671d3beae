"""Prompts become integers that the model knows, or an error that says why not."""

from array import array

import numpy as np
import pytest
import torch

from nanovllm_edu import prompt as module
from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.errors import RequestError
from nanovllm_edu.prompt import (
    are_tokens,
    plainly_are_tokens,
    read_prompt,
    read_prompts,
)


class Spelling(Decoder):
    """A tokenizer whose tokens are letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
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
        np.array([1, 2, 300], np.uint16),
        [torch.tensor(1), 2, 300],
        {"prompt_token_ids": [1, 2, 300]},
        {"prompt_token_ids": np.array([1, 2, 300]), "prompt": "as text"},
    ],
    ids=[
        "list",
        "tuple",
        "numpy",
        "a numpy scalar among integers",
        "array",
        "tensor",
        "small",
        "a torch scalar",
        "dictionary",
        "dictionary of both",
    ],
)
def test_token_ids_become_plain_integers(prompt):
    token_ids = read_prompt(prompt, Spelling(), 301).token_ids
    assert token_ids == array(TOKEN_TYPE, [1, 2, 300])
    assert {type(token_id) for token_id in token_ids} == {int}


@pytest.mark.parametrize("prompt", [[1, 2], array(TOKEN_TYPE, [1, 2])], ids=["list", "array"])
def test_the_callers_tokens_are_copied(prompt):
    token_ids = read_prompt(prompt, None, 10).token_ids
    token_ids.append(3)
    assert list(prompt) == [1, 2]


def test_integers_that_cannot_be_compared_are_token_ids_too():
    class Five:
        def __index__(self):
            return 5

    assert list(read_prompt([Five(), Five()], None, 10).token_ids) == [5, 5]
    with pytest.raises(RequestError, match=r"token id 5 is not in \[0, 5\)"):
        read_prompt([Five(), Five()], None, 5)


def test_text_goes_through_the_tokenizer():
    assert list(read_prompt("ab", Spelling(), 128).token_ids) == [97, 98]


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
        ({3, 1}, "neither text nor token ids"),
        ({1: 3}, "'prompt_token_ids'"),
        ({"prompt": None}, "'prompt_token_ids'"),
        ({"prompt": "a", "multi_modal_data": 3}, "nothing else"),
        ([True, False], "neither text nor token ids"),
        (np.array([True]), "neither text nor token ids"),
        (np.array([[1, 2]]), "neither text nor token ids"),
        (np.array(3), "neither text nor token ids"),
        (None, "neither text nor token ids"),
        (range(3), "neither text nor token ids"),
        ("\ud83d broken", "half of a character"),
    ],
)
def test_a_bad_prompt_is_refused(prompt, words):
    with pytest.raises(RequestError, match=words):
        read_prompt(prompt, None, 10)


def test_case_20_a_message_does_not_repeat_a_million_tokens():
    for prompt in ([1.5] * 10**6, {"a": "x" * 10**6}, ["x" * 10**6], 10**5000):
        with pytest.raises(RequestError) as error:
            read_prompt(prompt, None, 10)
        assert len(str(error.value)) < 600


def lists(read):
    return [(one.text, list(one.token_ids)) for one in read]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ("ab", [("ab", [97, 98])]),
        ({"prompt": "ab"}, [("ab", [97, 98])]),
        ([1, 2], [(None, [1, 2])]),
        ((np.int64(1), 2), [(None, [1, 2])]),
        (np.array([1, 2]), [(None, [1, 2])]),
        (torch.tensor([1, 2]), [(None, [1, 2])]),
        (array("q", [1, 2]), [(None, [1, 2])]),
        (np.array([[1, 2], [3, 4]]), [(None, [1, 2]), (None, [3, 4])]),
        (torch.tensor([[1, 2], [3, 4]]), [(None, [1, 2]), (None, [3, 4])]),
        (["ab", [1], {"prompt_token_ids": (2,)}], [("ab", [97, 98]), (None, [1]), (None, [2])]),
        ([np.array([1]), torch.tensor([2])], [(None, [1]), (None, [2])]),
        ([], []),
    ],
)
def test_one_prompt_or_many(prompts, expected):
    assert lists(read_prompts(prompts, Spelling(), 128)) == expected


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        (
            ["fine", "\ud83d broken"],
            r"prompts\[1\]: the prompt holds half of a character",
        ),
        (["fine", []], r"prompts\[1\]: the prompt is empty"),
        ([[1], [999]], r"prompts\[1\]: token id 999"),
        (["fine", 3], r"prompts\[1\]: prompt=3 is neither"),
        (3, "prompts=3 is neither"),
        ({"fine", "too"}, "is neither"),
        (None, "prompts=None is neither"),
    ],
)
def test_case_7_an_error_says_which_prompt(prompts, words):
    with pytest.raises(RequestError, match=words):
        read_prompts(prompts, Spelling(), 128)


@pytest.mark.parametrize(
    "prompt",
    [[0, 300], (299, 300), [1, True], [False], [300, 301], [2**62], [1, np.int64(3)], [5] * 2000],
)
def test_one_pass_says_what_two_would(prompt):
    assert are_tokens(prompt, 301) == plainly_are_tokens(prompt, 301)


@pytest.mark.parametrize("prompt", [[1, 300], [1, True], [1, 301], [np.int64(301)], [1.5]])
def test_without_msgspec_a_prompt_is_read_the_same(prompt, monkeypatch):
    def read():
        try:
            return read_prompt(prompt, None, 301)
        except RequestError as error:
            return str(error)

    fast = read()
    monkeypatch.setattr(module, "convert", None)
    assert read() == fast
