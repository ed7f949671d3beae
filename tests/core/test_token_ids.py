"""A window on an array of token ids reads like the tuple of the same values."""

from array import array

import pytest
from nanovllm_edu.core.token_ids import PACKED, TokenIds

VALUES = (5, 0, 151_935)


@pytest.fixture
def token_ids() -> TokenIds:
    return TokenIds(array(PACKED, [9, *VALUES, 9, 9]), 1, 4)


def test_they_read_like_a_tuple(token_ids: TokenIds) -> None:
    assert (tuple(token_ids), len(token_ids), repr(token_ids)) == (VALUES, 3, repr(VALUES))
    assert (token_ids[1], token_ids[-1], token_ids[1:]) == (0, 151_935, VALUES[1:])
    assert 151_935 in token_ids
    assert token_ids.packed == array(PACKED, VALUES)
    assert not TokenIds(array(PACKED, VALUES), 2, 2)


def test_they_equal_what_has_the_same_values(token_ids: TokenIds) -> None:
    assert token_ids == VALUES
    assert (token_ids, 1) == (VALUES, 1)  # asked from the tuple's side
    assert token_ids == TokenIds(array(PACKED, VALUES), 0, 3)
    assert hash(token_ids) == hash(VALUES)


@pytest.mark.parametrize(
    "other", [VALUES[:2], (*VALUES[:2], 7), TokenIds(array(PACKED, VALUES), 0, 2), 5]
)
def test_they_equal_nothing_else(token_ids: TokenIds, other: object) -> None:
    assert token_ids != other


def test_an_array_that_grows_shows_the_same() -> None:
    growing = array(PACKED, VALUES)
    token_ids = TokenIds(growing, 1, 3)
    growing.extend(range(1000))
    assert token_ids == VALUES[1:]


def test_nobody_can_change_them(token_ids: TokenIds) -> None:
    with pytest.raises(TypeError):
        token_ids[0] = 1  # type: ignore[index]
    assert not hasattr(token_ids, "append")
