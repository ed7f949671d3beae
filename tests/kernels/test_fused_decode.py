"""The fused decode kernels equal their references, and a whole step equals the model."""

from copy import deepcopy

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_plan import LIBRARY, GemmPlan
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.triton import (
    filters,
    norm_gate_up,
    norm_project,
    paged_decode,
    project_add,
    propose,
)
from nanovllm_edu.kernels.triton.decode_operands import DecodeTiles, DecodeWorkspace, NewTokens
from nanovllm_edu.kernels.triton.flash import LOG2_E
from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.paged_decode import launch_decode
from nanovllm_edu.kernels.triton.project_add import SplitScratch
from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import Batch
from tests.attention.batches import cache_of

PLAIN = launch_options(is_overlapped=False)
IN_LANES = Tiles(16, 8, 16, 2, 1, 2, 2)
IN_ONE = Tiles(16, 16, 32, 1, 1, 4, 2)
BY_ROW = Tiles(1, 16, 32, 1, 1, 4, 1)


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def make_residual(residual, num_parts=2):
    squares = residual.square().unflatten(1, (num_parts, -1)).sum(2)
    return Residual(residual.clone(), torch.full_like(residual, float("nan")), squares)


@pytest.mark.parametrize("tiles", [IN_LANES, IN_ONE, BY_ROW])
@pytest.mark.parametrize(("num_rows", "depth"), [(1, 64), (19, 112)])
def test_norm_project(device, tiles, num_rows, depth):
    residual = 3 * torch.randn(num_rows, depth, device=device)
    norm_weight, w = torch.randn(depth, device=device), torch.randn(48, depth, device=device)
    out = torch.full((num_rows, 48), float("nan"), device=device)
    norm_project.norm_project(make_residual(residual), w * norm_weight, out, 1e-6, tiles, PLAIN)
    assert_close(out, norm_project.reference(residual, norm_weight, w, 1e-6))


@pytest.mark.parametrize("tiles", [IN_LANES, IN_ONE, BY_ROW])
def test_norm_gate_up(device, tiles):
    residual, norm_weight = torch.randn(5, 64, device=device), torch.randn(64, device=device)
    w = torch.randn(96, 64, device=device)
    out = torch.full((5, 48), float("nan"), device=device)
    norm_gate_up.norm_gate_up(make_residual(residual), w * norm_weight, out, 1e-6, tiles, PLAIN)
    assert_close(out, norm_gate_up.reference(residual, norm_weight, w, 1e-6))


@pytest.mark.parametrize(
    "tiles",
    [Tiles(16, 8, 16, 2, 1, 2, 2), Tiles(16, 8, 16, 2, 4, 2, 2), Tiles(1, 8, 128, 1, 1, 4, 1)],
)
@pytest.mark.parametrize("num_rows", [3, 20])
def test_project_add_leaves_the_stream_ready_for_the_next_norm(device, tiles, num_rows):
    x, w = torch.randn(num_rows, 128, device=device), torch.randn(32, 128, device=device)
    residual, norm_weight = torch.randn(num_rows, 32, device=device), torch.randn(32, device=device)
    carried = make_residual(residual, num_parts=4)
    scratch = SplitScratch.allocate(num_rows, 32, (tiles,), torch.device(device))
    for last_norm in (None, norm_weight):  # twice: the arrival counters must be zero again
        project_add.project_add(x, w, carried, scratch, tiles, PLAIN, last_norm)
        residual = project_add.reference(x, w, residual)
        assert_close(carried.values, residual)
        assert_close(carried.squares.sum(1), residual.square().sum(1))
    assert_close(carried.weighted, residual * norm_weight)


@pytest.mark.parametrize("is_scaled", [True, False])
@pytest.mark.parametrize(("has_norm", "has_bias"), [(True, False), (False, True)])
@pytest.mark.parametrize(("num_heads", "block_size"), [(4, 8), (6, 32)])
def test_decode_from_the_projection(device, num_heads, block_size, has_norm, has_bias, is_scaled):
    num_kv_heads, head_dim, max_len = 2, 64, 128
    lengths = torch.tensor([1, 32, 33, 80], dtype=torch.int32, device=device)
    width = (num_heads + 2 * num_kv_heads) * head_dim
    qkv = torch.randn(4, width, device=device)
    num_blocks = max_len // block_size
    tables = torch.randperm(6 * num_blocks, device=device).int().view(6, -1)
    rows = torch.tensor([4, 0, 5, 2], device=device)
    cache = torch.randn(2, 6 * num_blocks, block_size, num_kv_heads, head_dim, device=device)
    weights = torch.randn(2, head_dim, device=device) if has_norm else (None, None)
    bias = torch.randn(width, device=device) if has_bias else None
    stream = 3 * torch.randn(4, 48, device=device) if is_scaled else None
    new = NewTokens(torch.randn(max_len, head_dim, device=device), bias, *weights, 1e-6, stream)
    expected_cache = cache.clone()
    expected = paged_decode.reference(qkv, expected_cache, tables, rows, lengths, num_heads, new)

    workspace = DecodeWorkspace.allocate(
        4, max_len, num_heads, num_kv_heads, head_dim, torch.device(device),
        DecodeTiles(max_chunks=3, chunk=16, tile=16),
    )  # fmt: skip
    out = torch.full((4, num_heads, head_dim), float("nan"), device=device)
    launch_decode(
        qkv, cache, out, tables, rows, lengths, workspace,
        scale=head_dim**-0.5 * LOG2_E, fused=new, options=PLAIN,
    )  # fmt: skip
    assert_close(out, expected)
    assert_close(cache, expected_cache)


def small_model(device, **changes):
    config = ModelConfig(
        architecture="Qwen3ForCausalLM", vocab_size=150, hidden_size=64, num_layers=2,
        num_heads=4, num_kv_heads=2, head_dim=64, intermediate_size=160,
        max_position_embeddings=256, tie_word_embeddings=True, qk_norm=True, **changes,
    )  # fmt: skip
    with torch.device(device):
        model = Qwen3ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2 if parameter.dim() > 1 else 1.0)
    return model


SMALL_PLAN = GemmPlan(
    qkv=IN_LANES,
    o=Tiles(16, 8, 16, 2, 2, 2, 2),
    gate_up=IN_ONE,
    down=IN_LANES,
)


MIXED_PLAN = GemmPlan(o=IN_ONE, gate_up=IN_LANES)
"""As with many rows on a Hopper GPU: the library makes the other two."""


def three_rows(tokens, tables, lengths, advances):
    """Inputs of three rows that are sampled in three ways."""
    device = tokens.device
    return DecodeInputs(
        token_table=tokens,
        block_tables=tables,
        table_rows=torch.tensor([3, 1, 0], device=device),
        context_lens=torch.tensor(lengths, dtype=torch.int32, device=device),
        advances=torch.tensor(advances, dtype=torch.int32, device=device),
        seeds=torch.tensor([1, 2, 3], device=device),
        temperatures=torch.tensor([0.0, 0.7, 1.3], device=device),
        top_ks=torch.tensor([0, 5, 0], dtype=torch.int32, device=device),
        top_ps=torch.tensor([0.5, 1.0, 0.6], device=device),
        min_ps=torch.tensor([0.0, 0.0, 0.01], device=device),
        sampled=torch.full((3,), 999, device=device),
    )


@pytest.mark.parametrize(
    ("plan", "is_filtered"),
    [
        (SMALL_PLAN, False), (SMALL_PLAN, True), (None, False),
        (LIBRARY, False), (LIBRARY, True), (MIXED_PLAN, False),
    ],
    ids=["small tiles", "filters", "the table's tiles", "library", "library, filters", "mixed"],
)  # fmt: skip
def test_steps_sample_the_models_tokens_and_advance(device, plan, is_filtered):
    num_rows, block_size, max_len = 3, 8, 64
    model = small_model(device)
    weights = ModelWeights.collect(deepcopy(model))  # folds its norms
    num_blocks = max_len // block_size
    tables = torch.randperm(5 * num_blocks, device=device).int().view(5, -1)
    lengths = [9, 1, 40]
    cache = cache_of(torch.randn(2, 2, 5 * num_blocks + 1, block_size, 2, 64, device=device))
    tokens = torch.randint(0, 150, (5, max_len + 1), device=device)
    inputs = three_rows(tokens, tables, lengths, advances=[1, 0, 1])
    decoder = FusedDecoder(weights, cache, inputs, is_overlapped=False)
    expected_cache, table = cache.copy(), inputs.token_table.clone()
    for given in (plan, None):  # None: as before
        decoder.step(num_rows, given, is_filtered=is_filtered)
        tokens = model_step(model, expected_cache, table, inputs, lengths, is_filtered)
        assert inputs.sampled.tolist() == tokens
        assert_close(cache.data, expected_cache.data)
        lengths = [n + a for n, a in zip(lengths, inputs.advances.tolist(), strict=True)]
        assert inputs.context_lens.tolist() == lengths
    assert torch.equal(inputs.token_table, table)


def model_step(model, cache, table, inputs, lengths, is_filtered):
    """The same step with the model, the reference attention and the sampler's noise."""
    rows, device = inputs.table_rows, table.device
    ends = torch.tensor(lengths, device=device)
    positions = ends - 1
    blocks = inputs.block_tables[rows, positions // cache.block_size].long()
    batch = Batch(
        token_ids=table[rows, positions],
        positions=positions,
        slot_mapping=blocks * cache.block_size + positions % cache.block_size,
        query_starts=torch.arange(len(lengths) + 1, dtype=torch.int32, device=device),
        context_lens=ends.int(),
        block_tables=inputs.block_tables[rows],
        rows=rows,
        logit_rows=torch.arange(len(lengths), device=device),
        sampled_rows=rows,
        sampled_positions=ends,
        query_lens=(1,) * len(lengths),
        max_query_len=1,
        max_context_len=max(lengths),
    )
    hidden = model(batch.token_ids, positions, ReferenceAttention().bind(batch, cache))
    logits = hidden @ model.lm_head.weight.T
    if is_filtered:
        logits = filters.reference(
            logits, inputs.temperatures, inputs.top_ks, inputs.top_ps, inputs.min_ps
        )
    tokens = propose.reference(logits, inputs.seeds, ends, inputs.temperatures).argmax(1)
    table[rows, ends] = tokens
    return tokens.tolist()
