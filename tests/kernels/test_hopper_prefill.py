"""Prefill attention for Hopper, its source run on a CPU; on a Hopper GPU it is in `tests/gpu`."""

import re
from itertools import accumulate

import pytest
import torch

from nanovllm_edu.kernels.hopper import prefill
from nanovllm_edu.kernels.hopper.prefill import TILES, HopperPrefillTiles, box_rows, constants_for
from tests.kernels import hopper_emulator
from tests.kernels.hopper_emulator import emulate

needs_compiler = pytest.mark.skipif(not hopper_emulator.COMPILER, reason="it needs a C++ compiler")


def bf16(*shape):
    return torch.randn(*shape).to(torch.bfloat16)


def make_case(query_lens, context_lens, heads, kv_heads, head_dim, block_size):
    """Operands in which whatever is nobody's is no number, so that nothing may depend on it."""
    needed = [max(1, -(-length // block_size)) for length in context_lens]
    ids = torch.randperm(sum(needed)).int()
    tables = torch.full((len(needed), max(needed)), sum(needed), dtype=torch.int32)
    cache = bf16(2, sum(needed) + 1, block_size, kv_heads, head_dim)
    cache[:, -1] = float("nan")
    for row, (part, length) in enumerate(zip(ids.split(needed), context_lens, strict=True)):
        tables[row, : len(part)] = part
        cache[:, part[-1], length - (len(part) - 1) * block_size :] = float("nan")
    q = bf16(sum(query_lens), heads + 2 * kv_heads, head_dim)[:, :heads]
    starts = torch.tensor([0, *accumulate(query_lens)], dtype=torch.int32)
    return q, cache, tables, starts, torch.tensor(context_lens, dtype=torch.int32)


def expected(q, cache, tables, starts, context_lens):
    """In float64; zeros for padding."""
    out, group = torch.zeros(q.shape, dtype=torch.float64), q.shape[1] // cache.shape[3]
    for row, context in enumerate(context_lens.tolist()):
        begin, end = starts[row : row + 2].tolist()
        if context == 0 or begin == end:
            continue
        positions, size = torch.arange(context), cache.shape[2]
        slots = tables[row][positions // size].long() * size + positions % size
        k, v = (half.flatten(0, 1)[slots].double().repeat_interleave(group, 1) for half in cache)
        scores = torch.einsum("qhd,khd->hqk", q[begin:end].double(), k) * q.shape[2] ** -0.5
        sees = positions <= torch.arange(context - (end - begin), context)[:, None]
        weights = scores.masked_fill(~sees, -torch.inf).softmax(-1)
        out[begin:end] = torch.einsum("hqk,khd->qhd", weights, v)
    return out


@needs_compiler
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "block_size", "query_lens", "context_lens"),
    [
        (4, 2, 128, 16, [1, 150, 0, 20, 9], [1, 150, 5, 300, 0]),
        (3, 1, 128, 48, [50, 1], [177, 129]),
        (2, 1, 64, 256, [110, 40, 2], [110, 290, 0]),
    ],
)
def test_it_equals_the_reference(
    heads, kv_heads, head_dim, block_size, query_lens, context_lens, tmp_path
):
    case = make_case(query_lens, context_lens, heads, kv_heads, head_dim, block_size)
    out = emulate(*case, TILES[head_dim], tmp_path, num_blocks=2).double()
    reference = expected(*case)
    assert (out - reference).norm() / reference.norm() < 5e-3
    assert not out[reference.flatten(1).abs().sum(1) == 0].any()


@needs_compiler
def test_more_blocks_than_tiles_and_groups_that_take_no_turns(tmp_path):
    case = make_case([70], [200], 2, 2, 64, 64)
    tiles = HopperPrefillTiles(2, 3, take_turns=False)
    out, reference = emulate(*case, tiles, tmp_path, num_blocks=5).double(), expected(*case)
    assert (out - reference).norm() / reference.norm() < 5e-3


@pytest.mark.parametrize("head_dim", prefill.HEAD_DIMS)
def test_tiles_keep_the_rules_of_the_hardware(head_dim):
    tiles = TILES[head_dim]
    producer, consumer = tiles.registers
    assert 128 * (producer + tiles.groups * consumer) <= 65_536
    assert producer % 8 == consumer % 8 == 0
    static = 8 * 2 * (2 + tiles.places) + 2 * 7 * 4 + 1024  # barriers, jobs, alignment
    assert tiles.shared_bytes(head_dim) + static <= 227 * 1024
    assert 2 * tiles.groups + 1 <= 16, "named barriers"


@pytest.mark.parametrize(
    ("block_size", "rows"), [(16, 16), (48, 16), (96, 32), (128, 128), (192, 64), (256, 128)]
)
def test_a_copy_lies_in_one_block_and_copies_fill_a_tile(block_size, rows):
    assert box_rows(block_size) == rows
    assert block_size % rows == prefill.KEYS % rows == 0


def test_constants_name_all_that_the_source_asks_for():
    constants = constants_for(16, 8, 128, 256, TILES[128])
    assert (constants["HEADS"], constants["BOX"], constants["GROUPS"]) == (2, 128, 2)
    source = (hopper_emulator.SOURCES / "prefill.cu").read_text()
    assert all(re.search(rf"\b{name}\b", source) for name in constants)


def test_the_instruction_names_each_register_once():
    text = prefill.wgmma_from_registers(64)
    assert "m64n64k16" in text
    for i in range(32):
        assert text.count(f'"+f"(acc[{i}])') == 1
    assert "{%32, %33, %34, %35}, %36, 1, 1, 1, 1" in text


@pytest.mark.parametrize(
    ("head_dim", "block_size", "reason"),
    [(128, 16, None), (64, 48, None), (96, 16, "head_dim"), (128, 24, "multiple of 16, not 24")],
)
def test_which_shapes_fit(monkeypatch, head_dim, block_size, reason):
    monkeypatch.setattr(prefill.compiler, "why_unavailable", lambda *_: None)
    why = prefill.why_unavailable(torch.device("cuda"), torch.bfloat16, head_dim, block_size)
    assert why is None if reason is None else reason in why


def test_why_it_is_not_used_here():
    why = prefill.why_unavailable(torch.device("cpu"), torch.bfloat16, 128, 16)
    assert "9.0" in why
    assert "use 'triton'" in why
