import json
from dataclasses import FrozenInstanceError

import pytest

from nanovllm_edu.core.events import (
    EVENT_TYPES,
    Admitted,
    BlockEvicted,
    BlocksAllocated,
    BlocksCached,
    BlocksFreed,
    DraftFailed,
    DraftVerified,
    Event,
    Finished,
    Preempted,
    PrefixHit,
    PromptShared,
    counted,
    named,
)

HASH = 0xFEDCBA9876543210
EXAMPLES: list[tuple[Event, list[str]]] = [
    (
        Admitted(3, 1, 20, 8, 12, 2, 9, 64),
        ["seq 3", "row 1", "8 of its 20 tokens", "2 of 9 free blocks", "12 fit", "budget of 64"],
    ),
    (PrefixHit(3, (4, 5), 8, "evicted"), ["first 8 tokens cached", "at block 2: evicted"]),
    (PrefixHit(3, (), 0, "never computed"), ["nothing cached", "block 0: never computed"]),
    (
        PromptShared(3, (4, 5), 9, "a rest", 2, 6),
        [
            "of seq 2, too",
            "9 tokens in blocks 4, 5, which both use and in a copy of block 6, behind",
        ],
    ),
    (PromptShared(3, (), 3, "a rest", 2, 6), ["its first 3 tokens in a copy of block 6"]),
    (PromptShared(3, (4,), 4, "", 2, None), ["its first 4 tokens in block 4, which both use"]),
    (
        BlocksAllocated(3, (7,), 2, 10),
        ["gets block 7 from its block 2", "up to 10", "the 2 blocks it has"],
    ),
    (BlocksAllocated(3, (7, 8, 9), 1, 10), ["blocks 7 to 9", "the 1 block it has"]),
    (
        BlocksCached(3, (7,), (2,), (HASH,)),
        ["block 7 (block 2 of seq 3) is full", "found by hash fedcba9876543210"],
    ),
    (
        BlocksCached(3, (7, 9), (2, 3), (HASH, 0xAB)),
        ["blocks 7, 9", "are full", "by the hashes fedcba9876543210, 00000000000000ab"],
    ),
    (BlocksCached(3, (7,), (2,), ()), ["it can be found"]),
    (BlockEvicted(3, 7, HASH, "LRU"), ["block 7", "fedcba9876543210", "seq 3", "LRU"]),
    (BlockEvicted(3, 7, None, "FIFO"), ["block 7 forgets its content: seq 3", "FIFO"]),
    (BlocksFreed(3, (7,), (2,), (True,)), ["block 7", "still used by others"]),
    (BlocksFreed(3, (7,), (0,), (True,)), ["free but findable until evicted"]),
    (BlocksFreed(3, (7,), (0,), (False,)), ["free and blank"]),
    (
        BlocksFreed(3, (7, 5, 4, 1), (0, 0, 0, 2), (False, True, True, True)),
        ["blocks 7, 5, 4, 1", "1 still used by others", "2 free but findable", "1 free and blank"],
    ),
    (Preempted(3, 1, 9, 3, "no room"), ["seq 3", "3 blocks", "9 computed tokens", "no room"]),
    (DraftVerified(3, 11, (4, 5), 2, 6), ["2 of 2 guessed tokens", "token 6 comes on top"]),
    (
        DraftVerified(3, 11, (4, 5), 1, 6),
        ["1 of 2 guessed tokens accepted", "at position 12 the guess was 5", "the model says 6"],
    ),
    (DraftFailed(3, "KeyError: 7"), ["seq 3 goes on without guesses", "(KeyError: 7)"]),
    (Finished(3, "length", 12, "max_tokens=4 reached"), ["12 tokens", "'length'", "max_tokens=4"]),
]


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
def test_events_are_frozen_and_small(event: Event, parts: list[str]) -> None:
    with pytest.raises(FrozenInstanceError):
        event.seq_id = 4  # type: ignore[misc]
    assert not hasattr(event, "__dict__")
    hash(event)  # and of frozen values


def test_every_kind_of_event_is_registered_and_has_an_example() -> None:
    classes = [*Event.__subclasses__(), *PrefixHit.__subclasses__()]
    kinds = {cls.__name__ for cls in classes if cls.__module__ == Event.__module__}
    assert set(EVENT_TYPES) == kinds
    assert {type(event).__name__ for event, _ in EXAMPLES} == kinds


def test_hashes_are_hex_and_tuples_lists() -> None:
    assert BlocksCached(0, (1,), (2,), (0xAB,)).to_dict()["hashes"] == ["00000000000000ab"]
    assert BlockEvicted(0, 1, 0xAB, "LRU").to_dict()["hash"] == "00000000000000ab"
    assert BlockEvicted(0, 1, None, "LRU").to_dict()["hash"] is None
    assert PrefixHit(0, (4, 5), 8, "x").to_dict()["block_ids"] == [4, 5]


def test_where_a_hit_stopped_follows_from_its_blocks() -> None:
    assert [PrefixHit(0, ids, 0, "x").stopped_at for ids in ((), (4, 5))] == [0, 2]


@pytest.mark.parametrize(
    ("ids", "text"),
    [((3,), "block 3"), ((3, 4), "blocks 3, 4"), ((3, 4, 5), "blocks 3 to 5"),
     ((5, 4, 3), "blocks 5, 4, 3"), ((3, 4, 6), "blocks 3, 4, 6")],
)  # fmt: skip
def test_ids_are_named(ids: tuple[int, ...], text: str) -> None:
    assert named(ids, "block") == text


def test_one_is_singular() -> None:
    assert [counted(n, "token") for n in (0, 1, 2)] == ["0 tokens", "1 token", "2 tokens"]
