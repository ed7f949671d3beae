"""The oracle itself, against plain dense attention over contiguous keys."""

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention

from .batches import STEPS, Case, make_case


@pytest.mark.parametrize("step", STEPS)
def test_equals_dense_attention(step: str) -> None:
    case = make_case(STEPS[step], num_heads=4, num_kv_heads=2)
    torch.testing.assert_close(case.attend(ReferenceAttention()), dense(case), atol=1e-5, rtol=1e-5)


def test_stores_before_it_attends() -> None:
    """A sequence may read a block that another one fills in the same step."""
    case = make_case([(4, 4), (1, 5)])
    case.batch.block_tables[1, 0] = case.batch.block_tables[0, 0]
    before = case.attend(ReferenceAttention())
    case.k[0] += 1.0  # belongs to the first sequence
    assert not torch.equal(case.attend(ReferenceAttention())[4], before[4])


def dense(case: Case) -> torch.Tensor:
    """Softmax attention with a causal mask, sequence by sequence, without blocks."""
    batch, cache = case.batch, case.kv_cache.copy()
    cache.slots(1)[0][batch.slot_mapping] = case.k
    cache.slots(1)[1][batch.slot_mapping] = case.v
    outputs = []
    for i, query_len in enumerate(batch.query_lens):
        context_len = int(batch.context_lens[i])
        table = batch.block_tables[i].long()
        keys = cache.keys(1)[table].flatten(0, 1)[:context_len].repeat_interleave(2, 1)
        values = cache.values(1)[table].flatten(0, 1)[:context_len].repeat_interleave(2, 1)
        start = int(batch.query_starts[i])
        scores = torch.einsum("qhd,khd->hqk", case.q[start : start + query_len], keys) / 8
        mask = torch.ones(query_len, context_len).tril(context_len - query_len).bool()
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, values))
    return torch.cat(outputs)
