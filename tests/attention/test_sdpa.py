"""sdpa against the readable loops."""

import pytest
import torch

from nanovllm_edu.attention import rectangles, sdpa
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.attention.sdpa import SdpaAttention

from .batches import STEPS, make_case


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_equals_the_reference(step: str, heads: int, kv_heads: int, block_size: int) -> None:
    case = make_case(
        STEPS[step], block_size=block_size, num_heads=heads, num_kv_heads=kv_heads, seed=heads
    )
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(SdpaAttention()), expected, atol=1e-5, rtol=1e-5)


def test_decode_does_not_loop_over_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of torch per rectangle; with a smaller limit, more and smaller ones: same result."""
    case = make_case([(1, n) for n in range(1, 40)])
    original, areas = sdpa.scaled_dot_product_attention, []

    def counting(queries, keys, *args, **options):
        areas.append(keys.shape[0] * keys.shape[2])
        return original(queries, keys, *args, **options)

    monkeypatch.setattr(sdpa, "scaled_dot_product_attention", counting)
    together = case.attend(SdpaAttention())
    assert areas == [39 * 39]
    token_bytes = case.kv_cache.data[0, :, 0, 0].nbytes
    monkeypatch.setattr(rectangles, "RECTANGLE_BYTES", 100 * token_bytes)
    areas.clear()
    torch.testing.assert_close(case.attend(SdpaAttention()), together)
    assert max(areas) <= 100
    assert sum(areas) < 1.2 * sum(range(1, 40))  # little is padded


def test_a_context_beyond_the_limit_is_a_rectangle_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rectangles, "RECTANGLE_BYTES", 1)
    case = make_case(STEPS["mixed"])
    torch.testing.assert_close(case.attend(SdpaAttention()), case.attend(ReferenceAttention()))
