"""sdpa against the readable loops."""

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.attention.sdpa import SdpaAttention

from .batches import STEPS, Case, make_case

HEADS = [(4, 4), (4, 2), (6, 1)]


def assert_equals_the_reference(case: Case) -> None:
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(SdpaAttention()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_equals_the_reference(step: str, heads: int, kv_heads: int, block_size: int) -> None:
    assert_equals_the_reference(
        make_case(
            STEPS[step], block_size=block_size, num_heads=heads, num_kv_heads=kv_heads, seed=heads
        )
    )


def test_a_large_decode_batch_of_many_lengths() -> None:
    assert_equals_the_reference(make_case([(1, n) for n in range(1, 40)]))


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


@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("block_size", [1, 3, 4])
def test_shared_prefixes_change_no_result(heads: int, kv_heads: int, block_size: int) -> None:
    assert_equals_the_reference(shared_case(heads, kv_heads, block_size))


@pytest.mark.parametrize("seed", range(20))
def test_random_steps(seed: int) -> None:
    """Any lengths, any mixture: a query may be the first of its sequence or far into it."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int) -> int:
        return int(torch.randint(1, high, (), generator=generator))

    lengths = [(n, n + draw(30) - 1) for n in (draw(9) for _ in range(draw(8)))]
    assert_equals_the_reference(make_case(lengths, block_size=draw(9), seed=seed))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits(dtype: torch.dtype) -> None:
    case = make_case(STEPS["mixed"], dtype=dtype)
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(SdpaAttention()), expected, atol=2e-2, rtol=2e-2)
