"""Short ways to drive a scheduler by hand."""

from collections.abc import Mapping
from typing import Any

from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler, Settled
from tests.core.sequences import request


def scheduler(num_blocks: int = 16, block_size: int = 4, **options: Any) -> Scheduler:
    return Scheduler(BlockManager(num_blocks, block_size), **options)


def add(engine: Scheduler, *prompts: list[int], **params: Any) -> list[Sequence]:
    first = len(engine.waiting) + len(engine.running)
    sequences = [request(first + i, prompt, **params) for i, prompt in enumerate(prompts)]
    for seq in sequences:
        engine.add(seq)
    return sequences


def work(plan: StepPlan) -> list[tuple[int, int, int]]:
    return [(span.seq_id, span.start, span.end) for span in plan.spans]


def output(tokens: Mapping[int, int | tuple[int, ...]], **rest: Any) -> StepOutput:
    """What a device gives back: seq_id -> its new token or tokens."""
    each = {i: new if isinstance(new, tuple) else (new,) for i, new in tokens.items()}
    return StepOutput(each, **rest)


def commit(engine: Scheduler, plan: StepPlan, tokens: Mapping[int, Any], **rest: Any) -> Settled:
    """Commits a plan with these tokens, and checks the books."""
    settled = engine.commit(plan, output(tokens, **rest))
    engine.check_invariants()
    return settled


def step(engine: Scheduler, token_id: int = 99) -> tuple[StepPlan, Settled]:
    plan = engine.plan()
    engine.check_invariants()
    return plan, commit(engine, plan, {span.seq_id: token_id for span in plan.spans.sampled})


class Guesses:
    """A proposer that always has these tokens in mind, and remembers what it was asked."""

    def __init__(self, *token_ids: int) -> None:
        self.token_ids = token_ids
        self.asked: list[tuple[list[int], int]] = []

    def __repr__(self) -> str:
        return f"Guesses{self.token_ids}"

    def propose(self, token_ids: Any, num_tokens: int) -> tuple[int, ...]:
        self.asked.append((list(token_ids), num_tokens))
        return self.token_ids[:num_tokens]
