"""A decode step from library products equals the model's step, and sampling its twin."""

from copy import deepcopy

import pytest
import torch

from nanovllm_edu.kernels import twins
from nanovllm_edu.kernels.decode_inputs import DecodeInputs
from nanovllm_edu.kernels.flash import LOG2_E
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.library_decode import LibraryDecoder
from nanovllm_edu.kernels.lm_head import pick
from nanovllm_edu.kernels.paged_decode import DecodeTiles, DecodeWorkspace, NewTokens, launch_decode
from nanovllm_edu.kernels.sampling import propose, sample
from nanovllm_edu.kernels.weights import ModelWeights
from nanovllm_edu.runners.kv_cache import KVCache
from tests.kernels.test_fused_decode import model_step, small_model


def make_inputs(device, num_rows, max_len, lengths, tables):
    return DecodeInputs(
        token_table=torch.randint(0, 150, (num_rows + 2, max_len + 1), device=device),
        block_tables=tables,
        table_rows=torch.randperm(num_rows + 2, device=device)[:num_rows],
        context_lens=torch.tensor(lengths, dtype=torch.int32, device=device),
        advances=torch.ones(num_rows, dtype=torch.int32, device=device),
        seeds=torch.arange(num_rows, device=device) - 1,
        temperatures=torch.tensor([0.0, 0.7, 1.3], device=device),
        top_ks=torch.tensor([0, 5, 0], dtype=torch.int32, device=device),
        top_ps=torch.tensor([0.5, 1.0, 0.6], device=device),
        min_ps=torch.tensor([0.0, 0.0, 0.01], device=device),
        sampled=torch.full((num_rows,), 999, device=device),
    )


@pytest.mark.parametrize("is_filtered", [False, True])
def test_steps_sample_the_models_tokens_and_advance(device, is_filtered):
    num_rows, block_size, max_len, lengths = 3, 8, 64, [9, 1, 40]
    model = small_model(device)
    tables = torch.randperm(5 * 8, device=device).int().view(5, 8)
    cache = KVCache(torch.randn(2, 2, 5 * 8 + 1, block_size, 2, 64, device=device))
    inputs = make_inputs(device, num_rows, max_len, lengths, tables)
    weights = ModelWeights.collect(deepcopy(model))  # folds its norms
    decoder = LibraryDecoder(weights, cache, inputs)
    expected_cache, table = cache.copy(), inputs.token_table.clone()
    for _ in range(2):
        decoder.step(num_rows, is_filtered=is_filtered)
        tokens = model_step(model, expected_cache, table, inputs, lengths, is_filtered)
        assert inputs.sampled.tolist() == tokens
        torch.testing.assert_close(cache.data, expected_cache.data, rtol=1e-4, atol=1e-4)
        lengths = [length + 1 for length in lengths]
        assert inputs.context_lens.tolist() == lengths
    assert torch.equal(inputs.token_table, table)


def test_proposals_hold_the_best_token(device):
    logits = 3 * torch.randn(3, 20_000, device=device)
    tables = torch.zeros(5, 8, dtype=torch.int32, device=device)
    inputs = make_inputs(device, 3, 64, [9, 1, 40], tables)
    scores = twins.sample(logits, inputs.seeds, inputs.context_lens, inputs.temperatures)
    best = propose(logits, inputs.seeds, inputs.temperatures, inputs.context_lens)
    torch.testing.assert_close(best.best_scores.amax(1), scores.amax(1), rtol=1e-5, atol=1e-5)
    pick(
        best, inputs.sampled, inputs.token_table, inputs.table_rows, inputs.context_lens,
        inputs.advances, launch_options(is_overlapped=False),
    )  # fmt: skip
    assert inputs.sampled.tolist() == scores.argmax(1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_filtered_draw_is_the_twins(device, dtype):
    logits = (3 * torch.randn(3, 20_000, device=device)).to(dtype)
    inputs = make_inputs(device, 3, 64, [9, 1, 40], torch.zeros(5, 8, dtype=torch.int32))
    filters = (inputs.temperatures, inputs.top_ks, inputs.top_ps, inputs.min_ps)
    kept = twins.drop_unlikely(logits.float(), *filters)
    scores = twins.sample(kept, inputs.seeds, inputs.context_lens, inputs.temperatures)
    sample(logits, inputs, is_filtered=True)
    assert inputs.sampled.tolist() == scores.argmax(1).tolist()


@pytest.mark.parametrize(
    "tiles",
    [DecodeTiles(1, 16, 16), DecodeTiles(8, 16, 16), DecodeTiles(8, 32, 16), DecodeTiles(2, 8, 8)],
)
@pytest.mark.parametrize("block_size", [8, 32])
def test_every_cut_of_the_work_gives_the_same_attention(device, tiles, block_size):
    lengths = torch.tensor([80, 33, 32, 17, 1], dtype=torch.int32, device=device)
    qkv = torch.randn(5, 8 * 64, device=device)
    tables = torch.randperm(6 * (128 // block_size), device=device).int().view(6, -1)
    rows = torch.tensor([4, 0, 5, 2, 1], device=device)
    cache = torch.randn(2, tables.numel(), block_size, 2, 64, device=device)
    new = NewTokens(torch.randn(128, 64, device=device), None, None, None, 1e-6)
    expected_cache = cache.clone()
    expected = twins.decode_attention(qkv, expected_cache, tables, rows, lengths, 4, new)
    workspace = DecodeWorkspace.allocate(5, 128, 4, 2, 64, torch.device(device), tiles)
    out = torch.full((5, 4, 64), float("nan"), device=device)
    launch_decode(
        qkv, cache, out, tables, rows, lengths, workspace,
        scale=64**-0.5 * LOG2_E, fused=new, options=launch_options(is_overlapped=False),
    )  # fmt: skip
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(cache, expected_cache) or torch.allclose(cache, expected_cache, atol=1e-4)
