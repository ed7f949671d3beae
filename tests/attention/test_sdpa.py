"""sdpa against the readable loops."""

import pytest
import torch

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


def test_decode_calls_torch_once_per_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from nanovllm_edu.attention import sdpa

    calls = []
    original = sdpa.scaled_dot_product_attention

    def counting(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(sdpa, "scaled_dot_product_attention", counting)
    make_case([(1, n) for n in range(1, 40)]).attend(SdpaAttention())
    assert len(calls) == 1
