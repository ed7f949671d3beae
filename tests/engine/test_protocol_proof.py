"""The step protocol, all of it, in random steps: the tokens are those of a run alone.

`tests/proof/world.py` drives engines of random shapes on the checksum runner: guesses of every
quality, blocks that move to other blocks and through the host's memory, groups that number their
blocks differently, several answers to a prompt, grammars, preemption, prefix hits, aborts, changed
sampling, forks, steps planned ahead.
After each step `tests/proof/books.py` counts everything anew, without the engine's own code.

The whole 10^5 steps, and ten times as many with failing devices: `python benchmarks/soak.py`.
"""

from collections import Counter

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import BlockCopy, BlockRef, BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from tests.proof.parts import ProofRunner
from tests.proof.world import Options, World

GREEDY = SamplingParams(temperature=0.0, max_tokens=12)
PROMPT = [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize("fault_rate", [0.0, 0.1])
@pytest.mark.parametrize("first", [0, 40, 80, 120])
def test_random_steps_give_each_request_the_tokens_of_a_run_alone(
    first: int, fault_rate: float
) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + 40):
        world = World(seed, Options(fault_rate=fault_rate))
        world.run(60)
        counts += world.counts
        counts["moves"] += world.moves.num_moves
        if world.engine.scheduler.draft_proposer is not None:
            counts["guesses"] += world.engine.scheduler.draft_proposer.num_guesses  # type: ignore[attr-defined]
    needed = ["steps", "requests", "moves", "aborts", "forks", "guesses", "preemptions", "hits"]
    needed += ["shared prompts", "copied rests", "grammars"]
    for name in needed + ["faults"] * (fault_rate > 0):
        assert counts[name] > 10, f"these worlds hardly have {name}: {counts}"


@pytest.mark.parametrize("seed", [10, 91])
def test_a_record_tells_of_the_block_tables_as_they_were(seed: int) -> None:
    """A table that was trimmed after a wrong guess may be as long again, and another one."""
    World(seed, Options()).run(100)


class _Says:
    """Guesses these tokens behind the prompt, whatever comes."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def propose(self, token_ids: list[int], num_tokens: int) -> list[int]:
        return self.tokens[len(token_ids) - len(PROMPT) :]


@pytest.mark.parametrize("num_groups", [1, 2])
@pytest.mark.parametrize(("num_right", "num_steps"), [(12, 2), (6, 7), (0, 12)])
def test_a_right_guess_saves_a_step_and_a_wrong_one_costs_none(
    num_right: int, num_steps: int, num_groups: int
) -> None:
    right = expected_tokens(PROMPT, GREEDY, 0)
    guesses = right[:num_right] + [token ^ 1 for token in right[num_right:]]
    config = EngineConfig(block_size=4, num_blocks=32, draft_proposer=_Says(guesses))
    engine = LLMEngine(ProofRunner(32, 4, num_groups=num_groups, vocab_size=1000), config)
    (seq,) = engine.add_requests([(PROMPT, GREEDY)])
    records = []
    for record in engine.run(0):
        records.append(record)
        assert seq.num_claimed == 0, "what was claimed and did not come is handed back"
        assert len(seq.block_table) == -(-seq.num_computed_tokens // 4)
    assert [t for record in records for t in record.new_tokens[0]] == right
    assert len(records) == num_steps
    for record in records:
        (span,) = record.spans
        assert len(record.new_tokens[0]) <= span.num_claimed


def test_a_block_is_copied_to_the_host_and_read_back_through_another_row() -> None:
    """What stood in block 0 comes back in block 3, of another sequence with the same tokens."""
    runner = ChecksumRunner(4, 4, num_host_blocks=1)
    first = runner.launch(_plan(row=0, block=0, start=0, num_tokens=4)).wait()
    home, away, there = BlockRef(0, 0), BlockRef(1, 0), BlockRef(0, 3)
    runner.launch(StepPlan(1, copies=(BlockCopy(home, away),)))
    runner.launch(_plan(row=1, block=0, start=0, num_tokens=4, tokens=(9, 9, 9, 9)))
    plan = _plan(row=2, block=3, start=3, num_tokens=1, copies=(BlockCopy(away, there),))
    assert runner.launch(plan).wait().tokens[2] == first.tokens[0]


def _plan(
    *,
    row: int,
    block: int,
    start: int,
    num_tokens: int,
    tokens: tuple[int, ...] = (1, 2, 3, 4),
    copies: tuple[BlockCopy, ...] = (),
) -> StepPlan:
    """A sequence with its row's number joins and computes these positions, in one block."""
    return StepPlan(
        0,
        Spans([Span(row, row, start, num_tokens)]),
        (Joined(row, row, tokens, 4, GREEDY, 0),),
        block_updates=(BlockUpdate(0, row, 0, (block,)),),
        copies=copies,
    )
