"""Traps that other engines fell into: the code passes, and the naive version of it fails.

Each trap is a function of the `Parts` an engine is built from. `Trapped` or any exception out of
the engine means that it fell in.
"""

from collections.abc import Callable
from typing import Any

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import Event, PrefixHit
from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import Block
from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.core.memory.hash_index import HashIndex, HashLease
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import PromptTooLongError
from nanovllm_edu.lessons import bugs
from tests.core import mutants
from tests.core.sequences import compute, request
from tests.engine.workloads import (
    CORRECT,
    Arrival,
    Outcome,
    Parts,
    Workload,
    build_engine,
    run_workload,
)

GREEDY = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)
Trap = Callable[[Parts], object]


class Trapped(Exception):
    """The engine did what the trap is about."""


def run(parts: Parts, *arrivals: tuple[Any, ...], **options: Any) -> Outcome:
    """Runs (step, prompt) or (step, prompt, aborted at) arrivals; checks tokens and books."""
    config = EngineConfig(**{"block_size": 4, "num_blocks": 16, **options})
    requests = tuple(
        Arrival(at_step, tuple(prompt), GREEDY, *aborted_at)
        for at_step, prompt, *aborted_at in arrivals
    )
    return run_workload(Workload(0, config, requests), parts)


def hits(outcome: Outcome) -> list[tuple[int, int]]:
    """(seq_id, tokens found in the cache) of each admission."""
    events = [event for record in outcome.records for event in record.events]
    return [(e.seq_id, e.num_tokens) for e in events if isinstance(e, PrefixHit)]


# --------------------------------------------------------------- the rule at a block's end


class LengthModuloOne(BlockManager):
    """A decode asks for a block when `len % block_size == 1`: never true for blocks of one."""

    def allocate(self, seq: Sequence, end: int) -> list[Event]:
        if seq.is_decoding and end % self.block_size != 1:
            return []
        return super().allocate(seq, end)


def block_boundary(parts: Parts) -> None:
    for block_size in (1, 2, 3, 4, 5):
        for num_tokens in range(1, 2 * block_size + 2):
            run(parts, (0, [7] * num_tokens), block_size=block_size)


# ----------------------------------------------------------------- a prompt cached whole


def fully_cached_prompt(parts: Parts) -> None:
    prompt = [1, 2, 3, 4, 5, 6, 7, 8]
    outcome = run(parts, (0, prompt), (9, prompt))
    if hits(outcome) != [(0, 0), (1, 4)]:
        raise Trapped(f"the last token must be recomputed: {hits(outcome)}")


# ------------------------------------------------------------------- evicted, then asked for


def stale_hash_after_eviction(parts: Parts) -> None:
    prompt = [1, 2, 3, 4, 5]
    run(parts, (0, prompt), (6, [9] * 11), (7, prompt), num_blocks=5, max_model_len=20)


# ---------------------------------------------------------- preempted, finds its own blocks


def preempted_sequence_hits_its_own_blocks(parts: Parts) -> None:
    outcome = run(parts, (0, [1] * 8), (0, [2] * 6), num_blocks=5)
    if (1, 4) not in hits(outcome):
        raise Trapped(f"the preempted sequence did not find its own block: {hits(outcome)}")


# --------------------------------------------------------------- a chunk ends inside a block


class PublishesBegunBlocks(HashIndex):
    """A block whose tokens are all known is findable as soon as a chunk has begun it."""

    def publish(self, lease: HashLease, block_table: list[int], num_tokens: int) -> list[int]:
        num_begun = -(-num_tokens // self.block_size)
        num_known = len(lease.token_ids) // self.block_size
        return super().publish(lease, block_table, min(num_begun, num_known) * self.block_size)


def chunk_boundary_inside_a_block(parts: Parts) -> None:
    """Who starts a block may never finish it: its half is nobody's hit."""
    prompt = list(range(2, 17))
    for budget in range(1, 9):
        options = {"max_num_batched_tokens": budget}
        run(parts, (0, prompt, 1), (0, prompt, 2), (3, prompt), (4, prompt[:9]), **options)


# ------------------------------------------------------------- equal tokens, other beginnings


def hash_without_parent(parts: Parts) -> None:
    same = [5, 6, 7, 8, 9]
    outcome = run(parts, (0, [1, 1, 1, 1, *same]), (8, [2, 2, 2, 2, *same]), (8, same))
    if any(num_tokens for _, num_tokens in hits(outcome)):
        raise Trapped("a block was found behind another beginning")


# ------------------------------------------------------------------ twins in the same step


def same_step_duplicates_share(parts: Parts) -> None:
    prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    outcome = run(parts, (0, prompt), (0, prompt), (0, [*prompt[:4], 7]))
    if hits(outcome) != [(0, 0), (1, 8), (2, 4)]:
        raise Trapped(f"a block was computed twice in one step: {hits(outcome)}")


# --------------------------------------------------------------------------- collisions


def collides_at(depth: int) -> HashFunction:
    """A hash that is blind to the tokens of the block at this depth, and only there."""

    def depth_of(parent: int | None) -> int:
        return 0 if parent is None else parent % 16 + 1

    def blind_hash(parent: int | None, token_ids: Any) -> int:
        seen = () if depth_of(parent) == depth else token_ids
        return block_hash(parent, seen) // 16 * 16 + depth_of(parent)

    return blind_hash


def collisions_at_any_depth(parts: Parts) -> None:
    """Two texts differ in one block only, where the hash is blind."""
    for depth in range(4):
        text = list(range(1, 18))
        other = [*text[: 4 * depth], 20, 21, 22, 23, *text[4 * depth + 4 :]]
        config = EngineConfig(block_size=4, num_blocks=16)
        arrivals = tuple(
            Arrival(at_step, tuple(prompt), GREEDY)
            for at_step, prompt in ((0, text), (1, other), (9, other), (18, text), (18, other))
        )

        class Blind(parts.index):  # type: ignore[name-defined,misc]
            def __init__(self, blocks: list[Block], block_size: int, _: HashFunction) -> None:
                super().__init__(blocks, block_size, collides_at(depth))  # noqa: B023

        run_workload(Workload(0, config, arrivals), Parts(index=Blind))


def collision_with_an_evicted_block(parts: Parts) -> None:
    """[1, 2] and [5, 6] collide; [1, 2] is evicted; [3, 4] was computed after it."""
    manager = BlockManager(4, 2, eviction_policy=FIFO)
    manager.cache = parts.index(manager.blocks, 2, collides_at(0))
    prefix, longer, filler = request(0, [1, 2]), request(1, [1, 2, 3, 4]), request(2, [9] * 6)
    compute(manager, prefix)
    manager.free(prefix)
    compute(manager, longer)
    manager.free(longer)
    manager.allocate(filler, 6)
    manager.free(filler)
    impostor = request(3, [5, 6])
    compute(manager, impostor)
    manager.free(impostor)
    if manager.match_prefix(request(4, [5, 6, 3, 4, 0])).num_tokens > 2:
        raise Trapped("[3, 4] after [5, 6] was served the KV of [3, 4] after [1, 2]")


def collision_in_front_of_a_block(parts: Parts) -> None:
    """[3, 4] has one hash, whatever is in front of it: only its parent tells the two apart."""
    manager = BlockManager(8, 2)
    manager.cache = parts.index(manager.blocks, 2, lambda _, token_ids: block_hash(None, token_ids))
    compute(manager, request(0, [1, 2, 3, 4]))
    compute(manager, request(1, [5, 6]))
    match = manager.match_prefix(request(2, [5, 6, 3, 4, 0]))
    if match.num_tokens != 2 or "collision" not in match.stopped_because:
        raise Trapped("[3, 4] after [5, 6] was served the KV of [3, 4] after [1, 2]")


TRAPS: dict[str, tuple[Trap, Parts]] = {
    "the block-boundary rule": (block_boundary, Parts(LengthModuloOne)),
    "a fully cached prompt": (
        fully_cached_prompt,
        Parts(block_manager=bugs.FullyCachedPromptNotRecomputed),
    ),
    "a stale hash after eviction": (
        stale_hash_after_eviction,
        Parts(index=bugs.StaleHashAfterEviction),
    ),
    "a preempted sequence hits its own blocks": (
        preempted_sequence_hits_its_own_blocks,
        Parts(bugs.PreemptAndHitKeepsComputedCount),
    ),
    "a chunk boundary inside a block": (
        chunk_boundary_inside_a_block,
        Parts(index=PublishesBegunBlocks),
    ),
    "a hash without its parent": (hash_without_parent, Parts(index=bugs.HashWithoutParent)),
    "duplicates in the same step": (
        same_step_duplicates_share,
        Parts(scheduler=bugs.SameStepDuplicateReadsTooEarly),
    ),
    "a hash collision": (collisions_at_any_depth, Parts(index=mutants.HashBelieved)),
    "a hash collision with an evicted block": (
        collision_with_an_evicted_block,
        Parts(index=mutants.HashBelieved),
    ),
    "a hash collision in front": (
        collision_in_front_of_a_block,
        Parts(index=mutants.ParentNotCompared),
    ),
}


@pytest.mark.parametrize(("trap", "naive"), TRAPS.values(), ids=TRAPS)
def test_the_trap_is_avoided(trap: Trap, naive: Parts) -> None:
    trap(CORRECT)


@pytest.mark.parametrize(("trap", "naive"), TRAPS.values(), ids=TRAPS)
def test_the_naive_version_falls_in(trap: Trap, naive: Parts) -> None:
    with pytest.raises((Trapped, AssertionError, LookupError)):
        trap(naive)


# ---------------------------------------------------- one sequence that outgrows the pool


def small_pool(**options: Any) -> LLMEngine:
    config = EngineConfig(block_size=4, num_blocks=3, **options)
    return build_engine(Workload(0, config, ()))


def test_a_prompt_that_fills_the_pool_is_an_error_at_add_with_the_numbers() -> None:
    with pytest.raises(PromptTooLongError) as error:
        small_pool().add_request([1] * 12)
    for part in ("12 tokens", "max_model_len=12", "3 blocks of 4", "raise"):
        assert part in str(error.value)


@pytest.mark.parametrize("num_tokens", [1, 4, 8, 11])
def test_a_sequence_that_grows_to_fill_the_pool_ends_with_reason_length(num_tokens: int) -> None:
    engine = small_pool()
    engine.add_request([1] * num_tokens, SamplingParams(max_tokens=1000, ignore_eos=True))
    records = list(engine.run(depth=1))
    assert [dict(record.finished) for record in records if record.finished] == [{0: "length"}]
    assert sum(len(record.new_tokens[0]) for record in records) == 12 - num_tokens


def test_two_that_outgrow_the_pool_together_take_turns() -> None:
    engine = small_pool()
    for _ in range(2):
        engine.add_request([1] * 5, SamplingParams(max_tokens=1000, ignore_eos=True))
    records = list(engine.run(depth=0))
    assert any(record.preempted for record in records)
    assert [dict(r.finished) for r in records if r.finished] == [{0: "length"}, {1: "length"}]
