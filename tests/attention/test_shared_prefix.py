"""Families are found by their blocks; joined halves are the whole."""

import pytest
import torch

from nanovllm_edu.attention import rectangles, sdpa
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.attention.sdpa import SdpaAttention
from nanovllm_edu.attention.shared_prefix import families, join

from .batches import Case, make_case

TABLES = [[5, 6, 7], [5, 6, 9], [5, 8, 9], [1, 2, 3], [4, 2, 3], [1, 2, 4]]


def found(rows: list[int], lengths: list[int], min_saved: int = 1) -> list[tuple[list[int], int]]:
    return [tuple(family) for family in families(rows, TABLES, lengths, 4, min_saved)]


def test_a_family_shares_the_blocks_at_the_head_of_all_its_tables() -> None:
    assert found([0, 1], [12, 12]) == [([0, 1], 8)]
    assert found([0, 1, 2], [12, 12, 12]) == [([0, 1, 2], 4)]
    assert found([3, 4], [12, 12, 12, 12, 12]) == [([3, 4], 0)]  # the same blocks, elsewhere


def test_those_without_relatives_go_together_and_order_is_kept() -> None:
    lengths = [12] * 6
    assert found([5, 0, 4, 3, 1], lengths) == [([5, 3], 8), ([0, 1], 8), ([4], 0)]


def test_each_keeps_a_key_of_its_own() -> None:
    """Entries of a table past the context mean nothing, though they may be equal."""
    assert found([0, 1], [12, 8]) == [([0, 1], 4)]
    assert found([0, 1], [12, 4]) == [([0, 1], 0)]


def test_a_family_must_be_worth_it() -> None:
    assert found([0, 1, 2], [12, 12, 12], min_saved=8) == [([0, 1, 2], 4)]
    assert found([0, 1, 2], [12, 12, 12], min_saved=9) == [([0, 1, 2], 0)]


def test_joined_halves_are_the_whole() -> None:
    scores, values = torch.randn(3, 2, 20) * 9, torch.randn(20, 8)

    def over(keys: slice) -> tuple[torch.Tensor, torch.Tensor]:
        part = scores[..., keys]
        return part.softmax(-1) @ values[keys], part.logsumexp(-1)

    for cut in (1, 7, 19):
        joined = join(over(slice(0, cut)), over(slice(cut, 20)))
        torch.testing.assert_close(joined, over(slice(0, 20))[0])


def shared_case(heads: int, kv_heads: int, block_size: int) -> Case:
    """Two families, a loner and a prompt in one step."""
    lengths = [(1, 19), (1, 30), (4, 26), (1, 23), (1, 14), (1, 21), (1, 40)]
    case = make_case(lengths, block_size=block_size, num_heads=heads, num_kv_heads=kv_heads)
    for relatives, num_tokens in (([0, 1, 3], 17), ([4, 6], 9)):
        shared = num_tokens // block_size
        case.batch.block_tables[relatives, :shared] = case.batch.block_tables[
            relatives[0], :shared
        ].clone()
    return case


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("block_size", [1, 3, 4])
@pytest.mark.parametrize("limit", [1, 4096, 2**21])
def test_shared_prefixes_change_no_result(
    heads: int, kv_heads: int, block_size: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rectangles, "RECTANGLE_BYTES", limit)
    case = shared_case(heads, kv_heads, block_size)
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(SdpaAttention()), expected, atol=1e-5, rtol=1e-5)


def test_a_prefix_is_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rectangles, "RECTANGLE_BYTES", 4096)
    gathered = []
    original = sdpa._gather
    monkeypatch.setattr(
        sdpa, "_gather", lambda r, slots: gathered.append(len(r.slots)) or original(r, slots)
    )
    lengths = [(1, 164)] * 8
    case = make_case(lengths)
    case.batch.block_tables[:, :40] = case.batch.block_tables[0, :40].clone()
    case.attend(SdpaAttention())
    assert sum(gathered) == 160 + 8 * 4
