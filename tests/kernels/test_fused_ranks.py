"""Two ranks make a fused decode step together: the tokens of the whole model."""

from copy import deepcopy

import pytest
import torch

from nanovllm_edu.fused_decode.decoder import FusedDecoder, why_not_fused
from nanovllm_edu.fused_decode.gemm_plan import LIBRARY
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.hopper.peer_sum import PeerSums, reference
from nanovllm_edu.layers.split import Ranks
from nanovllm_edu.models.checkpoint import checkpoint_tensors
from nanovllm_edu.models.loader import _part
from nanovllm_edu.models.shard import Shard
from tests.attention.batches import cache_of
from tests.kernels.test_fused_decode import (
    MIXED_PLAN,
    SMALL_PLAN,
    model_step,
    small_model,
    three_rows,
)
from tests.meeting import Threads, together


class TableSums(PeerSums):
    """Sums as the kernel makes them, at a table."""

    spent = torch.zeros(())

    def __init__(self, rank, table, device):
        self._rank, self._table, self._device = rank, table, device
        self._parts = {}

    def part(self, place, *shape):
        nothing = torch.full(shape, float("nan"), device=self._device)
        return self._parts.setdefault((place, shape), nothing)

    def into(self, residual, place, *, is_added, norm_weight=None, is_overlapped):
        def launch():
            part = self._parts[place, tuple(residual.values.shape)]
            parts = self._table.meet(self._rank, part)
            total = reference(parts, residual.values if is_added else None)
            residual.values.copy_(total)
            num_parts = residual.squares.shape[1]
            residual.squares.copy_(total.square().unflatten(1, (num_parts, -1)).sum(2))
            if norm_weight is not None:
                residual.weighted.copy_(total * norm_weight)

        return launch


def part_of(model, ranks):
    """A rank's part of a model that is in memory."""
    shard = Shard(ranks.rank, ranks.num_ranks, model.config)
    part = _part(shard, ranks, model.norm.weight.device, None, None)
    whole = checkpoint_tensors(model)
    for name, view in checkpoint_tensors(part).items():
        mine = whole[name][shard.slices(name)]
        view.zero_()
        view[tuple(map(slice, mine.shape))].copy_(mine)
    return part


@pytest.mark.parametrize(
    ("plan", "is_filtered"),
    [(SMALL_PLAN, False), (SMALL_PLAN, True), (None, False), (LIBRARY, False), (MIXED_PLAN, True)],
    ids=["small tiles", "filters", "the table's tiles", "library", "mixed, filters"],
)
def test_two_ranks_sample_the_models_tokens(device, plan, is_filtered):
    num_rows, block_size, max_len, lengths = 3, 8, 64, [9, 1, 40]
    model = small_model(device)
    num_blocks = max_len // block_size
    tables = torch.randperm(5 * num_blocks, device=device).int().view(5, -1)
    data = torch.randn(2, 2, 5 * num_blocks + 1, block_size, 2, 64, device=device)
    tokens = torch.randint(0, 150, (5, max_len + 1), device=device)

    def inputs_of():
        return three_rows(tokens.clone(), tables, lengths, advances=[1, 1, 1])

    def rank_steps(rank, table):
        ranks = Threads(rank, table, TableSums(rank, table, device))
        weights = ModelWeights.collect(part_of(deepcopy(model), ranks))
        mine = data[..., rank : rank + 1, :].contiguous()  # one key-value head each
        inputs = inputs_of()
        decoder = FusedDecoder(weights, cache_of(mine), inputs, is_overlapped=False)
        found = []
        for _ in range(2):
            decoder.step(num_rows, plan, is_filtered=is_filtered)
            found.append(inputs.sampled.tolist())
        return found

    found = together(2, rank_steps)
    cache, inputs = cache_of(data.clone()), inputs_of()
    expected = []
    for step in range(2):
        moved = [length + step for length in lengths]
        expected.append(model_step(model, cache, inputs.token_table, inputs, moved, is_filtered))
    assert found == [expected, expected]


def test_a_rank_without_its_own_sums_is_not_fused(device):
    config = small_model(device).config
    assert "our own" in why_not_fused(config, Ranks(0, 2))
    assert "without a token" in why_not_fused(config, Ranks(0, 16, sums=TableSums(0, None, device)))
