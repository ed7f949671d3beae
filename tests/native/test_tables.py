"""A small step's ends in C: what is looked up, what is chosen, and what is written back."""

import pytest
import torch

from nanovllm_edu.core.plan import Joined, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.native import tables as native
from nanovllm_edu.native.attention import Places
from nanovllm_edu.native.ops import why_unavailable
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingTensors

pytestmark = pytest.mark.skipif(
    bool(why_unavailable(torch.device("cpu"), torch.float32)), reason="no C compiler"
)
ROWS, LONGEST, BLOCK_SIZE = 5, 40, 3


def tables() -> DeviceTables:
    made = DeviceTables.allocate(ROWS, LONGEST, BLOCK_SIZE, 99, torch.device("cpu"))
    made.block_tables.copy_(torch.randint(0, 99, made.block_tables.shape))
    made.token_ids.copy_(torch.randint(0, 50, made.token_ids.shape))
    return made


def places(made: DeviceTables, rows: list[int], positions: list[int]) -> Places:
    slots = torch.full((len(rows),), -1)
    return Places(made.block_tables, torch.tensor(rows), torch.tensor(positions), slots)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_looks_up_what_a_batch_holds(num_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "num_threads", lambda: num_threads)
    made, vectors = tables(), torch.randn(50, 300)
    spans = Spans([Span(7, 4, 38, 2), Span(9, 0, 0, 1), Span(8, 2, 17, 1), Span(3, 1, 5, 3)])
    params = SamplingParams()
    joined = [Joined(s.seq_id, s.row, tuple(range(40)), 1, params, 0) for s in spans]
    batch = made.prepare(StepPlan(0, spans, tuple(joined)))
    rows = [s.row for s in spans for _ in range(s.num_tokens)]
    found = places(made, rows, batch.positions.tolist())
    hidden = native.look_up(vectors, made.token_ids, found, BLOCK_SIZE)
    assert hidden.equal(vectors[batch.token_ids])
    assert found.slots.equal(batch.slot_mapping)


@pytest.mark.parametrize("vocab_size", [1, 255, 256, 257, 1000])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_chooses_what_the_sampler_does(
    vocab_size: int, num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "num_threads", lambda: num_threads)
    made, sampler = tables(), Sampler()
    rows, positions = [4, 0, 0, 2], [3, 7, 8, 39]
    greedy = SamplingTensors(len(rows), (None,) * len(rows))
    for seed in range(20):
        torch.manual_seed(seed)
        logits = torch.randint(-9, 9, (len(rows), vocab_size)).float()  # many are equal
        before = made.token_ids.clone()
        chosen, are_broken = native.choose(logits, made.token_ids, places(made, rows, positions))
        expected = sampler(logits, greedy)
        assert chosen.equal(expected.token_ids)
        assert not are_broken.any()
        before[rows, torch.tensor(positions) + 1] = chosen
        assert made.token_ids.equal(before)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 256, 299])
def test_rows_that_are_no_numbers_are_told(number: float, place: int) -> None:
    made, logits = tables(), torch.randn(4, 300)
    logits[2, place] = number
    greedy = SamplingTensors(4, (None,) * 4)
    chosen, are_broken = native.choose(logits, made.token_ids, places(made, [0] * 4, [0, 1, 2, 3]))
    assert are_broken.equal(Sampler()(logits, greedy).is_broken)
    assert are_broken.tolist() == [False, False, True, False]
    assert 0 <= int(chosen[2]) < 300


def test_wrong_arrays_are_refused() -> None:
    made, logits = tables(), torch.randn(2, 300)
    good = places(made, [0, 1], [0, 1])
    for wrong in (
        Places(made.block_tables.long(), good.sequences, good.positions, good.slots),
        Places(made.block_tables, good.sequences.int(), good.positions, good.slots),
        Places(made.block_tables, good.sequences, good.positions[:1], good.slots),
    ):
        with pytest.raises(AssertionError):
            native.choose(logits, made.token_ids, wrong)
    with pytest.raises(AssertionError):
        native.choose(logits[:1], made.token_ids, good)
    with pytest.raises(AssertionError):
        native.look_up(logits.double(), made.token_ids, good, BLOCK_SIZE)
