"""Looking the last words up in the text before them."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.core.request.sequence import TOKEN_TYPE
from nanovllm_edu.core.schedule.ngram_proposer import MAX_PLACES, NgramProposer
from nanovllm_edu.errors import ConfigError
from tests.timing import times_as_long


@pytest.mark.parametrize(
    ("text", "guesses"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 1, 2], [3, 4, 5, 6]),
        ([1, 2, 3, 9, 1, 2, 4, 9, 1, 2], [4, 9, 1, 2]),
        ([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], [3, 8, 1, 2]),
        ([5, 5, 5], [5, 5, 5, 5]),
        ([1, 2, 1, 2], [1, 2, 1, 2]),
        ([1, 2, 3, 4], []),
        ([2, 3, 4, 1, 2], []),
        ([1, 2], []),
        ([1], []),
        ([], []),
        ([0, 0, 256, 0, 0], [256, 0, 0, 256]),
        ([256, 65536, 1, 256], []),
    ],
    ids=[
        "once", "the newest of two", "the longer of two", "one token again and again",
        "two in circles", "nothing", "one token is no match", "no longer than a match",
        "shorter", "empty", "zeros", "across two tokens",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [list, tuple, lambda ids: array(TOKEN_TYPE, ids)])
def test_it_guesses_what_followed(kind: type, text: list[int], guesses: list[int]) -> None:
    assert NgramProposer().propose(kind(text), 10) == guesses


def test_no_more_than_it_was_asked_for_or_is_good_for() -> None:
    text = [1, 2, 3, 4, 5, 6, 7, 1, 2]
    assert NgramProposer(num_tokens=3).propose(text, 10) == [3, 4, 5]
    assert NgramProposer(num_tokens=3).propose(text, 1) == [3]


def test_min_match_and_window_bound_what_it_looks_at() -> None:
    text = [1, 2, 3, 9, 2, 3]
    assert NgramProposer(min_match=3).propose(text, 4) == []
    assert NgramProposer(min_match=1, num_tokens=1).propose([4, 5, 4], 4) == [5]
    assert NgramProposer(window=5, num_tokens=1).propose(text, 4) == [9]
    assert NgramProposer(window=4).propose(text, 4) == []


def by_definition(text: list[int], min_match: int, num_tokens: int) -> list[int]:
    """The longest match that is newest, by trying every place."""
    best, place = 0, 0
    for end in range(min_match, len(text)):
        length = 0
        while length < end and text[end - 1 - length] == text[-1 - length]:
            length += 1
        if length >= max(best, min_match):
            best, place = length, end
    copied = list(text)
    while best and len(copied) < len(text) + num_tokens:
        copied.append(copied[place + len(copied) - len(text)])
    return copied[len(text) :]


@given(st.lists(st.sampled_from([0, 1, 256, 2**40]), max_size=MAX_PLACES), st.integers(1, 3))
def test_it_equals_its_definition(text: list[int], min_match: int) -> None:
    found = NgramProposer(4, min_match).propose(array(TOKEN_TYPE, text), 4)
    assert found == by_definition(text, min_match, 4)


def test_a_long_text_costs_no_more_than_its_window() -> None:
    text, proposer = array(TOKEN_TYPE, range(1, 200_001)), NgramProposer()
    newest = text[-proposer.window :]

    def propose(text: "array[int]") -> None:
        for _ in range(20):
            assert proposer.propose(text, 4) == []

    assert times_as_long(lambda: propose(text), lambda: propose(newest)) < 5


@pytest.mark.parametrize("name", ["num_tokens", "min_match", "window"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True, None, 2**31])
def test_a_number_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}="):
        NgramProposer(**{name: value})  # type: ignore[arg-type]
