"""A plan becomes a batch: checked against the definition, token by token."""

import random
from collections.abc import Sequence

import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.core.plan import BlockUpdate, Joined, SamplingUpdate, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.checksum import ChecksumRunner

JUNK = 8
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
        if plan.spans:
            batch = self.tables.prepare(plan)
            self.prepared.append((plan, batch))
            # Behind a wrong guess a device samples on: whatever it says there is never read.
            sampled = [
                token_id
                for span in plan.spans.sampled
                for token_id in pad(ticket.output.tokens[span.seq_id], span.num_claimed)
            ]
            self.tables.feed_back(batch, torch.tensor(sampled, dtype=torch.int64))
        return ticket


def pad(tokens: tuple[int, ...], length: int) -> tuple[int, ...]:
    return tokens + (JUNK,) * (length - len(tokens))


class HalfRight:
    """Guesses that follow from the tokens; a vocabulary of nine makes some come true."""

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        return [(token_ids[-1] + i) % 9 for i in range(min(3, num_tokens))]


def steps(seed: int):
    """Yields (tokens, record, plan, batch) of every step of a random workload that preempts."""
    rng = random.Random(seed)
    runner = PreparingRunner()
    config = EngineConfig(
        block_size=BLOCK_SIZE, num_blocks=NUM_BLOCKS, max_num_seqs=MAX_NUM_SEQS,
        max_num_batched_tokens=rng.choice([5, 11, 40]),
        draft_proposer=HalfRight() if seed % 2 else None,
    )  # fmt: skip
    engine = LLMEngine(runner, config)
    prefix = [rng.randrange(9) for _ in range(7)]
    for _ in range(6):
        prompt = prefix[: rng.randrange(8)] + [rng.randrange(9) for _ in range(rng.randrange(1, 9))]
        engine.add_request(prompt, SamplingParams(max_tokens=rng.randrange(1, 14)))
    while engine.has_unfinished_requests():
        sequences = {**engine.scheduler.running, **engine.scheduler.waiting}
        before = {seq_id: list(seq.token_ids) for seq_id, seq in sequences.items()}
        record = engine.step()
        if record.spans:
            yield before, record, *runner.prepared[-1]


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_says_what_the_plan_says(seed: int) -> None:
    for before, record, plan, batch in steps(seed):
        token = 0
        logit_rows, sampled_rows, sampled_positions = [], [], []
        for i, span in enumerate(plan.spans):
            table = record.block_tables[span.seq_id]
            inputs = before[span.seq_id] + list(span.drafted)
            assert int(batch.query_starts[i]) == token
            assert int(batch.context_lens[i]) == span.end
            assert int(batch.rows[i]) == span.row
            assert batch.query_lens[i] == span.num_tokens
            assert batch.block_tables[i, : len(table)].tolist() == list(table)
            for position in range(span.start, span.end):
                slot = table[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
                assert int(batch.positions[token]) == position
                assert int(batch.slot_mapping[token]) == slot
                assert int(batch.token_ids[token]) == inputs[position]
                if position >= span.end - span.num_claimed:
                    logit_rows.append(token)
                    sampled_rows.append(span.row)
                    sampled_positions.append(position + 1)
                token += 1
        assert int(batch.query_starts[-1]) == token == len(batch.token_ids)
        assert batch.logit_rows.tolist() == logit_rows
        assert batch.sampled_rows.tolist() == sampled_rows
        assert batch.sampled_positions.tolist() == sampled_positions
        assert batch.num_sequences == len(plan.spans)
        assert batch.max_context_len == max(span.end for span in plan.spans)


def test_the_workload_has_what_makes_it_hard() -> None:
    seen = dict.fromkeys(("preempted", "hit", "mixed", "right", "wrong", "not sampled"), 0)
    for seed in range(8):
        for _, record, plan, batch in steps(seed):
            verified = [e for e in record.effects if isinstance(e, DraftVerified)]
            joined = {joined.seq_id for joined in plan.joined}
            seen["preempted"] += len(record.preempted)
            seen["hit"] += any(s.start > 0 and s.seq_id in joined for s in plan.spans)
            seen["mixed"] += batch.max_query_len > 1 and min(batch.query_lens) == 1
            seen["right"] += sum(event.num_accepted for event in verified)
            seen["wrong"] += sum(len(e.drafted) > e.num_accepted for e in verified)
            seen["not sampled"] += not all(plan.spans.are_sampled)
    assert all(seen.values()), seen


# ------------------------------------------------------------------ what the tables remember


def tables() -> DeviceTables:
    return DeviceTables.allocate(2, 8, 4, 5, torch.device("cpu"))


def test_facts_come_with_joined_and_go_with_left() -> None:
    known, warm = tables(), SamplingParams(temperature=0.5)
    joined = Joined(7, 1, (3, 4), 2, SamplingParams(), 11)
    known.take_facts(StepPlan(0, joined=(joined,)))
    assert (known.rows[1].joined, known.rows[1].sampling) == (joined, joined.sampling)
    known.take_facts(StepPlan(1, sampling_updates=(SamplingUpdate(7, 1, warm),)))
    assert (known.rows[1].joined, known.rows[1].sampling) == (joined, warm)
    again = joined._replace(seq_id=8)
    known.take_facts(StepPlan(2, left=(1,), joined=(again,)))
    assert (known.rows[1].joined, known.rows[1].sampling) == (again, again.sampling)
    known.take_facts(StepPlan(3, left=(1,)))
    assert not known.rows


def test_only_the_blocks_of_the_first_group_go_into_the_table() -> None:
    known = tables()
    known.take_in(
        StepPlan(0, block_updates=(BlockUpdate(0, 1, 1, (3,)), BlockUpdate(1, 0, 0, (2,))))
    )
    assert known.block_tables.tolist() == [[5, 5], [5, 3], [5, 5]]


def test_who_joins_brings_its_tokens_also_where_no_batch_is_made() -> None:
    """A prompt of one token may join in a step that a graph replays."""
    known = tables()
    joined = (Joined(7, 1, (3,), 1, SamplingParams(), 0), Joined(8, 0, (4, 5, 6), 3, WITH, 0))
    known.take_in(StepPlan(0, Spans([Span(7, 1, 0, 1), Span(8, 0, 2, 1)]), joined=joined))
    assert known.token_ids[:2, :3].tolist() == [[4, 5, 6], [3, 0, 0]]
    assert known.rows.keys() == {0, 1}


WITH = SamplingParams(repetition_penalty=1.5)
"""Looks at all tokens, those too that the cache holds."""


def test_a_copy_is_independent() -> None:
    known = tables()
    joined = Joined(7, 1, (3, 4), 2, SamplingParams(), 11)
    known.take_facts(StepPlan(0, joined=(joined,)))
    twin = known.copy()
    twin.block_tables.fill_(0)
    twin.token_ids.fill_(7)
    hot = SamplingParams(temperature=2)
    twin.take_facts(StepPlan(1, sampling_updates=(SamplingUpdate(7, 1, hot),)))
    assert known.block_tables.unique().tolist() == [5]
    assert known.token_ids.unique().tolist() == [0]
    assert (known.rows[1].sampling, twin.rows[1].sampling) == (joined.sampling, hot)
    twin.take_facts(StepPlan(2, left=(1,)))
    assert known.rows[1].joined == joined
