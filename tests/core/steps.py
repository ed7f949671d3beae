"""Short ways to drive a scheduler by hand."""

from typing import Any

from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import StepPlan, StepResult
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
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
    return [(chunk.seq_id, chunk.start, chunk.end) for chunk in plan.chunks]


def step(engine: Scheduler, token_id: int = 99) -> tuple[StepPlan, StepResult]:
    plan = engine.plan()
    engine.check_invariants()
    result = engine.commit(plan, {c.seq_id: token_id for c in plan.chunks if c.samples})
    engine.check_invariants()
    return plan, result
