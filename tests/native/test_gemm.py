"""The GEMM in C equals torch's, and a row's result never depends on its neighbours."""

from copy import deepcopy

import pytest
import torch

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.int8 import dequantize, quantize
from nanovllm_edu.layers.linear import Linear, MergedLinear
from nanovllm_edu.layers.packed import reference
from nanovllm_edu.native import gemm
from nanovllm_edu.native.gemm import (
    Int8Gemm,
    NativeGemm,
    pack,
    use_int8_gemms,
    use_native_gemms,
)
from nanovllm_edu.native.tape import NotOnTapeError, Tape
from nanovllm_edu.native.threads import load_kernels

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, params=[1, 3], ids=["alone", "on three threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(gemm, "num_threads", lambda: request.param)


def assert_equals_the_reference(x, weight, bias=None) -> None:
    expected = reference(x.double(), weight.double(), None if bias is None else bias.double())
    actual = NativeGemm()(x, weight, bias)
    torch.testing.assert_close(actual, expected.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("num_rows", [*range(1, 14), 24, 95, 96, 97, 300])
@pytest.mark.parametrize("has_bias", [False, True])
def test_any_number_of_rows(num_rows: int, has_bias: bool) -> None:
    bias = torch.randn(130) if has_bias else None
    assert_equals_the_reference(torch.randn(num_rows, 96), torch.randn(130, 96), bias)


@pytest.mark.parametrize("outputs", [1, 7, 31, 32, 33, 64, 200])
@pytest.mark.parametrize("inputs", [1, 5, 64, 1024])
def test_any_shape(outputs: int, inputs: int) -> None:
    assert_equals_the_reference(torch.randn(13, inputs), torch.randn(outputs, inputs))


def test_jobs_that_are_worth_several_threads() -> None:
    for num_rows in (1, 5, 700):
        assert_equals_the_reference(torch.randn(num_rows, 1024), torch.randn(2000, 1024))


def test_parts_of_tensors_and_an_empty_batch() -> None:
    wide, weight = torch.randn(5, 200), torch.randn(130, 96)
    assert_equals_the_reference(wide[:, 50:146], weight)
    assert_equals_the_reference(wide[:, 50:146].T.contiguous().T, weight)
    assert_equals_the_reference(wide[:, 50:146], torch.randn(96, 130).T)
    assert NativeGemm()(wide[:0, :96], weight).shape == (0, 130)


@pytest.mark.parametrize("outputs", [200, 2000])
def test_a_row_is_the_same_to_the_last_bit_whoever_else_is_there(outputs: int) -> None:
    x, product = torch.randn(200, 1024), NativeGemm()
    weight, bias = torch.randn(outputs, 1024), torch.randn(outputs)
    together = product(x, weight, bias)
    for first, end in ((0, 1), (1, 3), (7, 19), (100, 200)):
        assert torch.equal(product(x[first:end], weight, bias), together[first:end])


@pytest.mark.parametrize("outputs", [1, 31, 64, 200, 2000])
@pytest.mark.parametrize("inputs", [1, 5, 16, 1000])
def test_packing_turns_rows_into_columns_of_panels(outputs: int, inputs: int) -> None:
    for weight in (torch.randn(outputs, inputs), torch.randn(inputs, outputs).T):
        packed = pack(weight, torch.full((gemm._packed_size(weight),), torch.nan))
        assert torch.equal(packed, gemm.plain_pack(weight, packed.shape[2]))


def test_no_tape_holds_a_packing() -> None:
    weight, x = torch.randn(64, 8), torch.randn(1, 8)
    with pytest.raises(NotOnTapeError, match="zero_"):
        Tape(lambda: NativeGemm()(x, weight))


def test_a_weight_is_packed_once_and_again_when_it_was_written_to() -> None:
    weight, product, x = torch.eye(8), NativeGemm(), torch.randn(3, 8)
    assert torch.equal(product(x, weight), x)
    packed = product._packed
    product(x, weight)
    assert product._packed is packed
    weight.mul_(2)
    assert torch.equal(product(x, weight), 2 * x)


def test_a_model_gets_one_for_each_matrix_and_so_does_its_copy() -> None:
    model = torch.nn.ModuleList(
        [
            Linear(8, 8, bias=False, dtype=torch.float32),
            MergedLinear(8, {"a": 4, "b": 4}, bias=False, dtype=torch.float32),
            Embedding(8, 8, dtype=torch.float32),
        ]
    ).requires_grad_(False)
    use_native_gemms(model)
    for matrix in model:
        matrix.weight.copy_(torch.eye(8))
    x = torch.randn(3, 8)
    twin = deepcopy(model)
    for matrix, copy in zip(model, twin, strict=True):
        copy.weight.mul_(2)
        multiply, multiply_copy = (getattr(m, "scores", m) for m in (matrix, copy))
        assert torch.equal(multiply(x), x)
        assert torch.equal(multiply_copy(x), 2 * x)


def test_what_learns_is_multiplied_by_torch() -> None:
    weight = torch.randn(8, 8, requires_grad=True)
    NativeGemm()(torch.randn(3, 8), weight).sum().backward()
    assert weight.grad is not None


def test_other_types_and_shapes_are_refused() -> None:
    with pytest.raises(AssertionError):
        NativeGemm()(torch.ones(2, 8), torch.ones(8, 8, dtype=torch.float64))
    with pytest.raises(AssertionError):
        NativeGemm()(torch.ones(2, 8).double(), torch.ones(8, 8))
    with pytest.raises(AssertionError):
        NativeGemm()(torch.ones(2, 7), torch.ones(8, 8))
    with pytest.raises(AssertionError):
        NativeGemm()(torch.ones(2, 8), torch.ones(8, 8), torch.ones(7))


def test_what_it_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gemm.why_unavailable(CPU, torch.float32) is None
    assert "float32" in str(gemm.why_unavailable(CPU, torch.bfloat16))
    assert "runs on a CPU" in str(gemm.why_unavailable(torch.device("cuda"), torch.float32))
    load_kernels.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr("nanovllm_edu.native.threads.helpers", gemm.functions)
    assert "no C compiler was found" in str(gemm.why_unavailable(CPU, torch.float32))


# ------------------------------------------------------------------------------ weights in 8 bits


@pytest.mark.parametrize("num_rows", [1, 2, 7, 13, 96, 97, 300])
@pytest.mark.parametrize(
    ("outputs", "inputs"), [(1, 1), (33, 63), (130, 64), (200, 65), (64, 1000)]
)
def test_8_bits_equal_the_unpacked_weight_to_the_last_bit(
    num_rows: int, outputs: int, inputs: int
) -> None:
    x, weight, bias = (
        torch.randn(num_rows, inputs),
        torch.randn(outputs, inputs),
        torch.randn(outputs),
    )
    product, unpacked = Int8Gemm(weight), dequantize(quantize(weight))
    assert torch.equal(product(x, weight, bias), NativeGemm()(x, unpacked, bias))
    assert torch.equal(product(x.T.contiguous().T, weight), NativeGemm()(x, unpacked))


def test_a_model_in_8_bits_gives_up_its_weights_but_for_the_table() -> None:
    table, other = (Embedding(8, 64, dtype=torch.float32) for _ in range(2))
    linear = Linear(64, 8, bias=False, dtype=torch.float32)
    for module in (table, other, linear):
        torch.nn.init.normal_(module.weight)
    x = torch.randn(3, 64)
    with torch.no_grad():
        exact = linear(x), table.scores(x), other.scores(x)
    lost = use_int8_gemms(torch.nn.ModuleList([table, other, linear]), table)
    assert 0.001 < lost < 0.02
    assert [m.weight.device.type for m in (table, other, linear)] == ["cpu", "meta", "meta"]
    rounded = linear(x), table.scores(x), other.scores(x)
    for before, after in zip(exact, rounded, strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0.2)
    assert torch.equal(deepcopy(linear)(x), linear(x))
    assert table(torch.tensor([3])).equal(table.weight[3:4])
