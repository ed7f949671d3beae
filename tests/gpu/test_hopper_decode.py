"""On a Hopper GPU: decode attention in CUDA C++ equals its reference, however it is cut."""

from dataclasses import replace

import pytest
import torch

from nanovllm_edu.kernels.hopper.decode import HopperDecode, HopperDecodeTiles, hopper_decode_tiles
from nanovllm_edu.kernels.triton import paged_decode
from nanovllm_edu.kernels.triton.decode_operands import NewTokens
from nanovllm_edu.kernels.triton.flash import LOG2_E
from tests.gpu.models import randn, relative_error

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("hopper_gpu")]

LENGTHS = [2300, 1, 2, 9, 31, 32, 33, 255, 256, 257, 300, 600]
TILES = dict.fromkeys(hopper_decode_tiles(pairs) for pairs in range(1, 4000))
EPS = 1e-6


class Case:
    """Random operands of one layer; `expected` is the reference's result."""

    def __init__(self, heads, kv_heads, head_dim, block_size, *, bias, norm, hidden):
        num_rows, columns = len(LENGTHS), (heads + 2 * kv_heads) * head_dim
        blocks_of_row = -(-max(LENGTHS) // block_size)
        num_blocks = num_rows * blocks_of_row
        tables = torch.randperm(num_blocks, device="cuda").int().view(num_rows, -1)
        self.cache = randn(2, num_blocks, block_size, kv_heads, head_dim)
        self.qkv = randn(num_rows, columns)
        self.out = torch.full_like(self.qkv[:, : heads * head_dim], float("nan"))
        self.out = self.out.view(num_rows, heads, head_dim)
        rows = torch.randperm(num_rows, device="cuda")
        lens = torch.tensor(LENGTHS, dtype=torch.int32, device="cuda")
        self.tables = (tables, rows, lens)
        norms = [1 + randn(head_dim, scale=0.1) if norm else None for _ in range(2)]
        stream = randn(num_rows, hidden, scale=3) if hidden else None
        angles = torch.randn(max(LENGTHS), head_dim, device="cuda")
        self.new = NewTokens(angles, randn(columns) if bias else None, *norms, EPS, stream)
        qkv = self.qkv
        if stream is not None:
            qkv = qkv.float() * (stream.float().square().mean(1, keepdim=True) + EPS).rsqrt()
        self.expected_cache = self.cache.clone()
        self.expected = paged_decode.reference(
            qkv, self.expected_cache, tables, rows, lens, heads, replace(self.new, residual=None)
        )

    def run(self, tiles, is_overlapped=True):
        scale = self.out.shape[-1] ** -0.5 * LOG2_E
        kernel = HopperDecode(self.qkv, self.cache, self.out, *self.tables, self.new, tiles, scale)
        kernel.launch(is_overlapped)
        return self.out.clone()

    def check(self, tiles):
        out = self.run(tiles)
        assert relative_error(out, self.expected) < 5e-3
        assert relative_error(self.cache, self.expected_cache) < 5e-4


@pytest.mark.parametrize("tiles", TILES, ids=lambda tiles: str(tuple(vars(tiles).values())))
@pytest.mark.parametrize("hidden", [0, 1024])
def test_every_cut_in_use(tiles, hidden):
    Case(16, 8, 128, 256, bias=False, norm=True, hidden=hidden).check(tiles)


@pytest.mark.parametrize(
    ("heads", "kv_heads"), [(4, 4), (8, 4), (12, 4), (16, 4), (12, 2), (14, 2), (9, 1)]
)
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("block_size", [16, 32, 256])
def test_every_shape(heads, kv_heads, head_dim, block_size):
    case = Case(heads, kv_heads, head_dim, block_size, bias=True, norm=False, hidden=320)
    case.check(HopperDecodeTiles(1, 4, 4))
    case.check(HopperDecodeTiles(4, 8, 2))


def test_overlap_and_repetition_change_no_bit():
    case = Case(16, 8, 128, 256, bias=False, norm=True, hidden=1024)
    tiles = hopper_decode_tiles(64)
    first = case.run(tiles, is_overlapped=False)
    for is_overlapped in (True, False, True):
        assert torch.equal(case.run(tiles, is_overlapped), first)
