"""A packed product is the plain one, whatever becomes of the weight."""

from copy import deepcopy

import pytest
import torch

from nanovllm_edu.layers.linear import Linear
from nanovllm_edu.layers.packed import PackedMatrix, can_pack, reference


@pytest.mark.parametrize("num_rows", [1, 2, 17, 64, 300])
@pytest.mark.parametrize("has_bias", [False, True])
def test_equals_the_plain_product(num_rows: int, has_bias: bool) -> None:
    x, weight = torch.randn(num_rows, 96), torch.randn(130, 96)
    bias = torch.randn(130) if has_bias else None
    torch.testing.assert_close(PackedMatrix()(x, weight, bias), reference(x, weight, bias))


def test_a_part_of_a_tensor_and_an_empty_batch_are_products_too() -> None:
    x, weight = torch.randn(5, 200)[:, 50:146], torch.randn(130, 96)
    torch.testing.assert_close(PackedMatrix()(x, weight), reference(x, weight))
    assert PackedMatrix()(x[:0], weight).shape == (0, 130)


def test_a_weight_that_is_written_to_is_packed_again() -> None:
    matrix = Linear(8, 8, bias=False, dtype=torch.float32).requires_grad_(False)
    matrix.weight.copy_(torch.eye(8))
    x = torch.randn(3, 8)
    torch.testing.assert_close(matrix(x), x)
    matrix.weight.mul_(2)
    torch.testing.assert_close(matrix(x), 2 * x)
    matrix.weight = torch.nn.Parameter(torch.eye(8) * 3, requires_grad=False)
    torch.testing.assert_close(matrix(x), 3 * x)


def test_a_weight_is_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, product = torch.randn(130, 96), PackedMatrix()
    product(torch.randn(2, 96), weight)
    tiles = product._tiles
    product(torch.randn(9, 96), weight)
    assert tiles is not None
    assert product._tiles is tiles


def test_a_copy_of_a_matrix_has_tiles_of_its_own() -> None:
    matrix = Linear(8, 8, bias=False, dtype=torch.float32).requires_grad_(False)
    matrix.weight.copy_(torch.eye(8))
    x = torch.randn(3, 8)
    matrix(x)
    twin = deepcopy(matrix)
    twin.weight.mul_(2)
    torch.testing.assert_close(twin(x), 2 * x)
    torch.testing.assert_close(matrix(x), x)


def test_what_cannot_be_packed_is_multiplied_plainly() -> None:
    x, weight = torch.randn(3, 8, dtype=torch.bfloat16), torch.randn(8, 8, dtype=torch.bfloat16)
    assert not can_pack(weight)
    assert torch.equal(PackedMatrix()(x, weight), reference(x, weight))
    learned = torch.randn(8, 8, requires_grad=True)
    PackedMatrix()(torch.randn(3, 8), learned).sum().backward()
    assert learned.grad is not None
