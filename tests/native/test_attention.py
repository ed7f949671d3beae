"""The C kernel against the readable loops; what it refuses."""

import dataclasses
import threading

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.native import attention as native
from nanovllm_edu.native.attention import NativeAttention
from nanovllm_edu.native.library import CompileError
from tests.attention.batches import STEPS, Case, cache_of, make_case

CPU = torch.device("cpu")


def assert_equals_the_reference(case: Case) -> None:
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(NativeAttention()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("block_size", [1, 3, 16, 32])
def test_equals_the_reference(step: str, heads: tuple[int, int], block_size: int) -> None:
    num_heads, num_kv_heads = heads
    assert_equals_the_reference(
        make_case(
            STEPS[step], block_size=block_size, num_heads=num_heads, num_kv_heads=num_kv_heads
        )
    )


@pytest.mark.parametrize("head_dim", [1, 8, 40, 64, 80, 128])
@pytest.mark.parametrize("step", ["mixed", "decode batch"])
def test_any_head_size(step: str, head_dim: int) -> None:
    assert_equals_the_reference(make_case(STEPS[step], head_dim=head_dim))


def test_long_contexts_in_blocks_longer_than_a_tile() -> None:
    lengths = [(1, 700), (3, 512), (1, 33), (1, 1), (40, 90)]
    assert_equals_the_reference(make_case(lengths, block_size=100))


@pytest.mark.parametrize("lengths", [[(1, 9)], [(1, 3000), (2, 3000)], [(1, 700)] * 40])
def test_on_several_threads_heads_are_dealt_out_or_tokens(
    lengths: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "num_threads", lambda: 3)
    assert_equals_the_reference(make_case(lengths))


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("head_dim", [8, 40, 64])
@pytest.mark.parametrize("heads", [(4, 4), (6, 1)])
def test_a_prompt_s_tokens_are_computed_in_tiles(
    num_threads: int, head_dim: int, heads: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles that are full, cut short, begun in the middle of a context, and beside other tokens."""
    monkeypatch.setattr(native, "num_threads", lambda: num_threads)
    lengths = [(100, 130), (49, 49), (1, 77), (48, 48), (5, 70), (6, 70), (7, 300), (1, 1)]
    num_heads, num_kv_heads = heads
    assert_equals_the_reference(
        make_case(
            lengths,
            block_size=16,
            head_dim=head_dim,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
        )
    )


@pytest.mark.parametrize("num_heads", [64, 200])
def test_many_query_heads_fit_on_the_stack_of_a_thread(
    num_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 512 KiB, as some systems give it; each KV head has so many of them, of 128 numbers."""
    monkeypatch.setattr(native, "num_threads", lambda: 1)
    case = make_case([(60, 75)], block_size=16, head_dim=128, num_heads=num_heads, num_kv_heads=1)
    found: list[torch.Tensor] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: found.append(case.attend(NativeAttention())))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    torch.testing.assert_close(found[0], case.attend(ReferenceAttention()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_threads", [2, 5])
def test_to_the_last_bit_a_token_does_not_depend_on_the_tile_it_is_in(
    num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case([(1010, 1010)], block_size=16)  # two threads: a piece ends behind two tokens
    together = case.attend(NativeAttention())
    monkeypatch.setattr(native, "num_threads", lambda: num_threads)
    torch.testing.assert_close(case.attend(NativeAttention()), together, atol=0, rtol=0)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    case = make_case([(1, 50), (5, 60)])
    case.q.mul_(100.0)  # scores of a thousand, of which float32 knows four decimals
    expected = case.attend(ReferenceAttention())
    torch.testing.assert_close(case.attend(NativeAttention()), expected, atol=1e-3, rtol=1e-3)


def test_a_layer_may_lie_anywhere() -> None:
    """Layers of a cache with room between them."""
    case = make_case(STEPS["mixed"])
    spread = torch.zeros(2, 4, *case.kv_cache.data.shape[2:])
    spread[:, ::2] = case.kv_cache.data
    cache = cache_of(spread[:, ::2])
    actual = NativeAttention().bind(case.batch, cache)(1, case.q, case.k, case.v)
    torch.testing.assert_close(actual, case.attend(ReferenceAttention()), atol=1e-5, rtol=1e-5)


def test_queries_may_be_a_view_of_a_merged_projection() -> None:
    case = make_case(STEPS["mixed"])
    merged = torch.cat([case.q, case.k, case.v], dim=1)
    case.q, case.k, case.v = merged.split([4, 2, 2], dim=1)
    assert_equals_the_reference(case)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda batch: batch.block_tables[0, 0].fill_(10**6),
        lambda batch: batch.block_tables[0, 0].fill_(-1),
        lambda batch: batch.positions[0].fill_(10**6),
        lambda batch: batch.positions[0].fill_(-1),
    ],
)
def test_nothing_outside_the_cache_is_read(spoil) -> None:
    case = make_case(STEPS["mixed"])
    spoil(case.batch)
    with pytest.raises(AssertionError):
        NativeAttention().bind(case.batch, case.kv_cache)


def test_other_types_are_refused() -> None:
    case = make_case(STEPS["mixed"])
    wide = dataclasses.replace(case.batch, block_tables=case.batch.block_tables.long())
    with pytest.raises(AssertionError):
        NativeAttention().bind(wide, case.kv_cache)
    attend = NativeAttention().bind(case.batch, case.kv_cache)
    with pytest.raises(AssertionError):
        attend(1, case.q.double(), case.k, case.v)
    with pytest.raises(AssertionError):
        attend(1, case.q[1:], case.k, case.v)


def test_what_it_cannot_do_is_said() -> None:
    assert native.why_unavailable(CPU, torch.float32, 64) is None
    assert "reads float32" in str(native.why_unavailable(CPU, torch.bfloat16, 64))
    assert "runs on a CPU" in str(native.why_unavailable(torch.device("cuda"), torch.float32, 64))


def test_a_failed_compilation_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(head_dim: int):
        raise CompileError("cc cannot compile this")

    monkeypatch.setattr(native, "kernels", fail)
    why = native.why_unavailable(CPU, torch.float32, 64)
    assert why == "cc cannot compile this; or use 'sdpa'"


def test_small_numbers_stay_what_they_are() -> None:
    """-ffast-math would have the whole process take them for zero."""
    native.kernels(64)
    assert float(torch.tensor(1e-40) * 1) > 0
    assert float(torch.ones(1000).mul(1e-40).sum()) > 0
