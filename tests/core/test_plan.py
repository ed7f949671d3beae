import json
from dataclasses import FrozenInstanceError

import pytest

from nanovllm_edu.core.events import (
    EVENT_TYPES,
    Admitted,
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockForgotten,
    BlockFreed,
    Event,
    Finished,
    Preempted,
    PrefixHit,
    TokenSampled,
)
from nanovllm_edu.core.plan import Blocked, Chunk, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams

HASH = 0xFEDCBA9876543210
EXAMPLES: list[tuple[Event, list[str]]] = [
    (
        Admitted(3, 1, 20, 8, 12, 2, 9, 64),
        ["seq 3", "slot 1", "8 of its 20 tokens", "2 of 9 free blocks", "12 fit", "budget of 64"],
    ),
    (PrefixHit(3, (4, 5), 8, 2, "evicted"), ["first 8 tokens cached", "at block 2: evicted"]),
    (PrefixHit(3, (), 0, 0, "never computed"), ["nothing cached", "block 0: never computed"]),
    (BlockAllocated(3, 7, 2, 8, 10), ["block 7", "its block 2", "[8, 10)"]),
    (BlockCached(3, 7, 2, HASH), ["block 7", "block 2 of seq 3", "fedcba9876543210"]),
    (BlockEvicted(3, 7, HASH, "LRU"), ["block 7", "fedcba9876543210", "LRU"]),
    (BlockForgotten(3, 7, HASH, 9), ["block 7", "fedcba9876543210", "block 9 of seq 3"]),
    (BlockFreed(3, 7, 2, True), ["block 7", "2 other sequence(s)"]),
    (BlockFreed(3, 7, 0, True), ["free but findable"]),
    (BlockFreed(3, 7, 0, False), ["free and blank"]),
    (Preempted(3, 1, 9, 3, "no room"), ["seq 3", "3 blocks", "9 computed tokens", "no room"]),
    (TokenSampled(3, 42, 11), ["seq 3", "token 42", "position 11"]),
    (Finished(3, "length", 12, "max_tokens=4 reached"), ["12 tokens", "'length'", "max_tokens=4"]),
]


def chunk(token_ids: tuple[int, ...] = (1, 2), num_tokens: int = 2) -> Chunk:
    return Chunk(0, 0, 4, num_tokens, token_ids, 1, (3,), True, SamplingParams(), 0, 6)


@pytest.mark.parametrize(("event", "parts"), EXAMPLES)
def test_why_is_a_sentence_with_its_numbers(event: Event, parts: list[str]) -> None:
    for part in parts:
        assert part in event.why


@pytest.mark.parametrize(("event", "parts"), EXAMPLES)
def test_an_event_becomes_json_with_its_kind_and_reason(event: Event, parts: list[str]) -> None:
    values = json.loads(json.dumps(event.to_dict()))
    assert values["kind"] == type(event).__name__
    assert values["why"] == event.why
    assert values["seq_id"] == 3


@pytest.mark.parametrize(("event", "parts"), EXAMPLES)
def test_events_are_frozen(event: Event, parts: list[str]) -> None:
    with pytest.raises(FrozenInstanceError):
        event.seq_id = 4  # type: ignore[misc]


def test_packed_events_become_events_when_a_plan_is_read() -> None:
    packed = ((BlockFreed, 3, 7, 2, True), (TokenSampled, 3, 42, 11))
    plan = StepPlan(0, (), (), None, packed)
    assert plan.events == (BlockFreed(3, 7, 2, is_cached=True), TokenSampled(3, 42, 11))


def test_every_kind_of_event_is_registered_and_has_an_example() -> None:
    kinds = {cls.__name__ for cls in Event.__subclasses__()}
    assert set(EVENT_TYPES) == kinds
    assert {type(event).__name__ for event, _ in EXAMPLES} == kinds


def test_hashes_are_hex_and_tuples_lists() -> None:
    assert BlockCached(0, 1, 2, 0xAB).to_dict()["hash"] == "00000000000000ab"
    assert PrefixHit(0, (4, 5), 8, 2, "x").to_dict()["block_ids"] == [4, 5]


def test_blocked_says_who_waits_for_what() -> None:
    blocked = Blocked(3, "blocks", 5, 2, "it needs 5 blocks, and 2 are free")
    assert blocked.why == "seq 3 waits: it needs 5 blocks, and 2 are free"
    assert json.loads(json.dumps(blocked.to_dict()))["needed"] == 5


def test_a_chunk_ends_where_its_tokens_do() -> None:
    assert chunk().end == 6
    assert not chunk().is_decode
    assert chunk((), 1).is_decode


def test_a_plan_counts_its_tokens_and_knows_pure_decode() -> None:
    mixed = StepPlan(0, (chunk(), chunk((), 1)), (), None, ())
    assert (mixed.num_tokens, mixed.is_pure_decode) == (3, False)
    assert StepPlan(0, (chunk((), 1),), (), None, ()).is_pure_decode
