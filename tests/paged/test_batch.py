"""A plan becomes a batch: checked against the definition, token by token."""

import random

import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.checksum import ChecksumRunner

NUM_BLOCKS, BLOCK_SIZE, MAX_NUM_SEQS, MAX_LEN = 12, 3, 4, 36


class PreparingRunner(ChecksumRunner):
    """A checksum runner that also prepares each plan as tensors and keeps what came out."""

    def __init__(self) -> None:
        super().__init__(NUM_BLOCKS, BLOCK_SIZE, vocab_size=9, max_model_len=MAX_LEN)
        self.tables = DeviceTables.allocate(
            MAX_NUM_SEQS, MAX_LEN, BLOCK_SIZE, NUM_BLOCKS, torch.device("cpu")
        )
        self.prepared: list = []

    def launch(self, plan: StepPlan):
        ticket = super().launch(plan)
        if plan.chunks:
            batch = self.tables.prepare(plan)
            self.prepared.append((plan, batch))
            sampled = [ticket.tokens[c.seq_id] for c in plan.chunks if c.samples]
            self.tables.feed_back(batch, torch.tensor(sampled, dtype=torch.int64))
        return ticket


def steps(seed: int):
    """Yields (engine, plan, batch) of every step of a random workload that preempts."""
    rng = random.Random(seed)
    runner = PreparingRunner()
    config = EngineConfig(
        block_size=BLOCK_SIZE, num_blocks=NUM_BLOCKS, max_num_seqs=MAX_NUM_SEQS,
        max_num_batched_tokens=rng.choice([5, 11, 40]),
    )  # fmt: skip
    engine = LLMEngine(runner, config)
    prefix = [rng.randrange(9) for _ in range(7)]
    for _ in range(6):
        prompt = prefix[: rng.randrange(8)] + [rng.randrange(9) for _ in range(rng.randrange(1, 9))]
        engine.add_request(prompt, SamplingParams(max_tokens=rng.randrange(1, 14)))
    while engine.has_unfinished_requests():
        sequences = {**engine.scheduler.running, **engine.scheduler.waiting}
        record = engine.step()
        if record.chunks:
            yield sequences, record, *runner.prepared[-1]


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_says_what_the_plan_says(seed: int) -> None:
    for sequences, record, plan, batch in steps(seed):
        token = 0
        for i, chunk in enumerate(plan.chunks):
            table = record.block_tables[chunk.seq_id]
            assert int(batch.query_starts[i]) == token
            assert int(batch.context_lens[i]) == chunk.end
            assert int(batch.slots[i]) == chunk.slot
            assert batch.block_tables[i, : len(table)].tolist() == list(table)
            for position in range(chunk.start, chunk.end):
                slot = table[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
                assert int(batch.positions[token]) == position
                assert int(batch.slot_mapping[token]) == slot
                assert int(batch.token_ids[token]) == sequences[chunk.seq_id].token_ids[position]
                token += 1
        assert int(batch.query_starts[-1]) == token == len(batch.token_ids)
        ends = batch.query_starts[1:] - 1
        expected = [int(ends[i]) for i, chunk in enumerate(plan.chunks) if chunk.samples]
        assert batch.logit_rows.tolist() == expected


def test_the_workload_has_what_makes_it_hard() -> None:
    seen = {"preempted": 0, "hit": 0, "mixed": 0}
    for seed in range(8):
        for _, record, plan, batch in steps(seed):
            seen["preempted"] += len(record.preempted)
            seen["hit"] += any(c.start > 0 and c.first_block == 0 for c in plan.chunks)
            seen["mixed"] += batch.max_query_len > 1 and min(batch.query_lens) == 1
    assert all(seen.values()), seen


def test_a_copy_is_independent() -> None:
    tables = DeviceTables.allocate(2, 8, 4, 5, torch.device("cpu"))
    twin = tables.copy()
    twin.block_tables.fill_(0)
    twin.token_ids.fill_(7)
    assert tables.block_tables.unique().tolist() == [5]
    assert tables.token_ids.unique().tolist() == [0]
