"""On a GPU: a decode step is the same step whoever makes its products and its attention."""

from unittest.mock import patch

import pytest
import torch

from nanovllm_edu.fused_decode import layer_attention
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_plan import BUCKETS, LIBRARY
from nanovllm_edu.fused_decode.gemm_trial import find_plans
from nanovllm_edu.fused_decode.weights import ModelWeights
from tests.attention.batches import cache_of
from tests.gpu.models import BLOCK_SIZE, CUDA, make_model, relative_error

pytestmark = pytest.mark.gpu

MAX_LEN = 2 * BLOCK_SIZE
ROWS = (1, 4, 8, 33, 64, 100, 128, 150, 192, 256, 300)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return ModelWeights.collect(make_model("qwen3"))


class Start:
    """Random sequences of some rows; every run begins from the same state."""

    def __init__(self, weights, num_rows):
        lengths = torch.randint(1, MAX_LEN - 8, (num_rows,), device=CUDA, dtype=torch.int32)
        tables = torch.randperm(2 * num_rows, device=CUDA).int().view(num_rows, 2)
        shape = (len(weights.layers), 2, 2 * num_rows, BLOCK_SIZE, 8, 128)
        self.cache = cache_of(torch.randn(shape, device=CUDA).to(torch.bfloat16))
        ones = torch.ones(num_rows, device=CUDA)
        self.inputs = DecodeInputs(
            token_table=torch.randint(0, 151_936, (num_rows, MAX_LEN + 1), device=CUDA),
            block_tables=tables,
            table_rows=torch.randperm(num_rows, device=CUDA),
            context_lens=lengths.sort(descending=True).values,
            advances=ones.int(),
            seeds=torch.arange(num_rows, device=CUDA),
            temperatures=0.7 * ones,
            top_ks=torch.zeros_like(lengths),
            top_ps=ones,
            min_ps=0 * ones,
            sampled=torch.zeros_like(lengths, dtype=torch.int64),
        )
        state = (self.cache.data, self.inputs.token_table, self.inputs.context_lens)
        self._saved = [(tensor, tensor.clone()) for tensor in state]
        self.weights, self.num_rows = weights, num_rows

    def run(self, plan=None, *, is_overlapped=None, num_steps=2):
        """The caches and tokens after some steps."""
        for tensor, saved in self._saved:
            tensor.copy_(saved)
        decoder = FusedDecoder(self.weights, self.cache, self.inputs, is_overlapped=is_overlapped)
        for _ in range(num_steps):
            decoder.step(self.num_rows, plan)
        torch.cuda.synchronize()
        return self.cache.data.clone(), self.inputs.token_table.clone()


@pytest.mark.parametrize("num_rows", ROWS)
def test_as_planned_equals_the_librarys_products_and_tritons_attention(weights, num_rows):
    start = Start(weights, num_rows)
    planned, tokens = start.run(num_steps=1)
    with patch.object(layer_attention, "why_not_hopper", lambda *_: "not now"):
        expected, expected_tokens = start.run(LIBRARY, num_steps=1)
    assert (
        relative_error(planned, expected) < 2e-3
    )  # over all cached tokens, of which one per row is new
    assert float((tokens != expected_tokens).sum()) <= 0.3 * num_rows


@pytest.mark.parametrize("num_rows", ROWS)
def test_overlap_and_repetition_change_no_bit(weights, num_rows):
    start = Start(weights, num_rows)
    cache, tokens = start.run(is_overlapped=False, num_steps=5)
    for is_overlapped in (True, False, True):
        again, same_tokens = start.run(is_overlapped=is_overlapped, num_steps=5)
        assert torch.equal(tokens, same_tokens)
        assert torch.equal(cache, again)


def test_gemms_are_tried_out_once_and_every_choice_is_the_same_step(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    start = Start(weights, 256)
    decoder = FusedDecoder(weights, start.cache, start.inputs)
    chosen, again = find_plans(decoder), find_plans(decoder)
    assert again.plans == chosen.plans and "before" in again.why
    for num_rows in BUCKETS:
        one = Start(weights, num_rows)
        planned, tokens = one.run(chosen.plan_for(num_rows), num_steps=1)
        expected, expected_tokens = one.run(LIBRARY, num_steps=1)
        assert relative_error(planned, expected) < 2e-3
        assert float((tokens != expected_tokens).sum()) <= max(1, 0.3 * num_rows)
