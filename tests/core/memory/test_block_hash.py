from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.core.memory.block_hash import block_hash

tokens = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=8)


@given(parent=st.none() | st.integers(0, 2**64 - 1), token_ids=tokens)
def test_the_hash_is_a_64_bit_integer_of_its_arguments_alone(
    parent: int | None, token_ids: list[int]
) -> None:
    value = block_hash(parent, token_ids)
    assert value == block_hash(parent, tuple(token_ids))
    assert 0 <= value < 2**64


@given(tokens, tokens)
def test_other_tokens_give_another_hash(one: list[int], other: list[int]) -> None:
    assert (block_hash(None, one) == block_hash(None, other)) == (one == other)


def test_the_parent_is_part_of_the_hash() -> None:
    first, second = block_hash(None, [1, 2]), block_hash(None, [3, 4])
    assert len({block_hash(parent, [5, 6]) for parent in (None, 0, first, second)}) == 4


def test_the_order_of_tokens_matters() -> None:
    assert block_hash(None, [1, 2]) != block_hash(None, [2, 1])


def test_the_hash_is_the_same_on_every_machine() -> None:
    first = block_hash(None, [1, 2, 3, 4])
    assert first == 0x73F859A04F669E6D
    assert block_hash(first, [5, 6, 7, 8]) == 0x87884241753DF3E
