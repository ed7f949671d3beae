"""Sampling over stored logits equals its reference."""

import pytest
import torch

from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.sampling import sample
from nanovllm_edu.kernels.triton import filters, pick, propose
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.sampling.sampler import BROKEN


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


def test_proposals_hold_the_best_token(device):
    logits = 3 * torch.randn(3, 20_000, device=device)
    tables = torch.zeros(5, 8, dtype=torch.int32, device=device)
    inputs = make_inputs(device, 3, 64, [9, 1, 40], tables)
    scores = propose.reference(logits, inputs.seeds, inputs.context_lens, inputs.temperatures)
    best = propose.propose(logits, inputs.seeds, inputs.temperatures, inputs.context_lens)
    torch.testing.assert_close(best.best_scores.amax(1), scores.amax(1), rtol=1e-5, atol=1e-5)
    wanted = pick.reference(best)
    pick.pick(
        best, inputs.sampled, inputs.token_table, inputs.table_rows, inputs.context_lens,
        inputs.advances, launch_options(is_overlapped=False),
    )  # fmt: skip
    assert inputs.sampled.tolist() == wanted.tolist() == scores.argmax(1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_filtered_draw_is_the_references(device, dtype):
    logits = (3 * torch.randn(3, 20_000, device=device)).to(dtype)
    inputs = make_inputs(device, 3, 64, [9, 1, 40], torch.zeros(5, 8, dtype=torch.int32))
    options = (inputs.temperatures, inputs.top_ks, inputs.top_ps, inputs.min_ps)
    kept = filters.reference(logits.float(), *options)
    scores = propose.reference(kept, inputs.seeds, inputs.context_lens, inputs.temperatures)
    sample(logits, inputs, is_filtered=True)
    assert inputs.sampled.tolist() == scores.argmax(1).tolist()


@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_row_of_no_numbers_is_told_from_the_others(device, value, is_filtered):
    """Also if there is only one of them, in a tile that would not have won."""
    logits = 3 * torch.randn(3, 20_000, device=device)
    inputs = make_inputs(device, 3, 64, [9, 1, 40], torch.zeros(5, 8, dtype=torch.int32))
    sample(logits, inputs, is_filtered=is_filtered)
    good = inputs.sampled.tolist()
    logits[1, 17_000] = value
    inputs = make_inputs(device, 3, 64, [9, 1, 40], torch.zeros(5, 8, dtype=torch.int32))
    sample(logits, inputs, is_filtered=is_filtered)
    assert inputs.sampled.tolist() == [good[0], BROKEN, good[2]]
    assert int(inputs.token_table[inputs.table_rows[1], 1]) == 0, "the next step looks it up"
    logits[1] = value
    sample(logits, inputs, is_filtered=is_filtered)
    assert int(inputs.sampled[1]) == BROKEN
