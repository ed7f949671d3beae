"""Each policy against a slow model that is obviously right."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.core.memory.eviction import FIFO, LRU, EvictionPolicy

Steps = list[tuple[str, int]]
steps = st.lists(st.tuples(st.sampled_from(("push", "push", "remove", "pop")), st.integers(0, 5)))


class SlowLRU:
    """The free blocks, the one free for the longest first."""

    def __init__(self) -> None:
        self.free: list[int] = []

    def push(self, block_id: int) -> None:
        self.free.append(block_id)

    def remove(self, block_id: int) -> None:
        self.free.remove(block_id)

    def pop(self) -> int:
        return self.free.pop(0)


class SlowFIFO:
    """A line with the blocks in use still in it; those whose turn came while in use go first."""

    def __init__(self) -> None:
        self.line: list[int] = []
        self.overdue: list[int] = []
        self.missed: set[int] = set()
        self.in_use: set[int] = set()

    @property
    def free(self) -> list[int]:
        return self.overdue + [i for i in self.line if i not in self.in_use]

    def push(self, block_id: int) -> None:
        self.in_use.discard(block_id)
        if block_id in self.missed:
            self.missed.remove(block_id)
            self.overdue.append(block_id)
        elif block_id not in self.line:
            self.line.append(block_id)

    def remove(self, block_id: int) -> None:
        if block_id in self.overdue:
            self.overdue.remove(block_id)
            self.missed.add(block_id)
        else:
            self.in_use.add(block_id)

    def pop(self) -> int:
        block_id = self.free[0]
        if block_id in self.overdue:
            self.overdue.remove(block_id)
            return block_id
        turn = self.line.index(block_id)
        self.missed |= set(self.line[:turn])
        self.in_use -= self.missed
        del self.line[: turn + 1]
        return block_id


def apply(policy: EvictionPolicy, model: SlowLRU | SlowFIFO, moves: Steps) -> None:
    for move, block_id in moves:
        if move == "push" and block_id not in model.free:
            policy.push(block_id)
            model.push(block_id)
        elif move == "remove" and block_id in model.free:
            policy.remove(block_id)
            model.remove(block_id)
        elif move == "pop" and model.free:
            assert policy.pop() == model.pop()
        assert list(policy) == model.free
        assert len(policy) == len(model.free)


@given(steps)
def test_lru_is_the_slow_model(moves: Steps) -> None:
    apply(LRU(), SlowLRU(), moves)


@given(steps)
def test_fifo_is_the_slow_model(moves: Steps) -> None:
    apply(FIFO(), SlowFIFO(), moves)


def pushed(policy: Callable[[], EvictionPolicy]) -> EvictionPolicy:
    line = policy()
    for block_id in (1, 2, 3):
        line.push(block_id)
    return line


def test_with_lru_a_hit_saves_a_block() -> None:
    line = pushed(LRU)
    line.remove(1)
    line.push(1)
    assert [line.pop() for _ in range(3)] == [2, 3, 1]


def test_with_fifo_a_hit_does_not_save_a_block() -> None:
    line = pushed(FIFO)
    line.remove(1)
    line.push(1)
    assert [line.pop() for _ in range(3)] == [1, 2, 3]


def test_with_fifo_a_block_that_missed_its_turn_goes_first() -> None:
    line = pushed(FIFO)
    line.remove(1)
    assert line.pop() == 2
    line.push(1)
    assert list(line) == [1, 3]
    assert line.pop() == 1


@pytest.mark.parametrize("policy", [LRU, FIFO])
def test_an_empty_policy_has_no_length(policy: Callable[[], EvictionPolicy]) -> None:
    assert len(policy()) == 0
    assert list(policy()) == []
