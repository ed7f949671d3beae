from typing import Any

import pytest

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy
from tests.core.steps import add, scheduler, step, work


def test_a_prompt_is_computed_whole_and_then_token_by_token() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    assert [work(step(engine)[0]) for _ in range(3)] == [[(0, 0, 3)], [(0, 3, 4)], [(0, 4, 5)]]


def test_a_decode_chunk_carries_no_token() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    first, second = step(engine)[0], step(engine)[0]
    assert (first.chunks[0].token_ids, second.chunks[0].token_ids) == ((1, 2, 3), ())
    assert (first.is_pure_decode, second.is_pure_decode) == (False, True)


def test_a_plan_may_follow_a_plan_before_any_value_is_known() -> None:
    engine = scheduler()
    seq = add(engine, [1, 2, 3], max_tokens=2)[0]
    plans = [engine.plan() for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 4)], []]
    assert seq.num_in_flight == 2
    engine.commit(plans[0], {0: 7})
    assert engine.commit(plans[1], {0: 8}).finished == {0: "length"}


def test_a_policy_that_raises_half_way_leaves_the_queues_as_they_can_go_on() -> None:
    class Raises(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            yield [waiting[0]][:0]
            yield (seq if seq.seq_id == 0 else 1 / 0 for seq in waiting)

    engine = scheduler(policy=Raises())
    add(engine, [1, 2], [3, 4])
    with pytest.raises(ZeroDivisionError):
        engine.plan()
    engine.check_invariants()
    assert list(engine.waiting) == [0, 1]
    assert engine.waiting[0].num_in_flight == 0
    engine.policy = MixedPolicy()
    assert work(step(engine)[0]) == [(0, 0, 2), (1, 0, 2)]


def test_a_stop_string_is_asked_for_with_the_next_token() -> None:
    engine = scheduler()
    add(engine, [1], stop=("END",))
    asked: list[tuple[list[int], int]] = []

    def find_stop(seq: Sequence, token_id: int) -> str | None:
        asked.append((list(seq.token_ids), token_id))
        return "END"

    plan = engine.plan()
    assert engine.commit(plan, {0: 7}, find_stop).finished == {0: "stop"}
    assert asked == [([1], 7)]


def test_commit_moves_nobody_if_a_stop_check_raises() -> None:
    engine = scheduler()
    first, second = add(engine, [1], [2], stop=("END",))

    def find_stop(seq: Sequence, token_id: int) -> str | None:
        return str(1 / seq.seq_id) if seq.seq_id == 0 else None

    plan = engine.plan()
    with pytest.raises(ZeroDivisionError):
        engine.commit(plan, {0: 7, 1: 8}, find_stop)
    assert (list(first.token_ids), list(second.token_ids)) == ([1], [2])
    assert (first.num_in_flight, second.num_in_flight) == (1, 1)
    assert engine.commit(plan, {0: 7, 1: 8}).new_tokens == {0: 7, 1: 8}


def test_a_finished_sequence_drops_its_tokens_in_flight() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    add(engine, [1, 2])
    first, second = engine.plan(), engine.plan()
    assert engine.commit(first, {0: 5}).finished == {0: "stop"}
    assert engine.commit(second, {0: 6}).new_tokens == {}


def test_rollback_puts_the_steps_sequences_back_in_order_with_nothing_trusted() -> None:
    engine = scheduler()
    add(engine, [1] * 5, [2] * 5, [3] * 5)
    plans = [engine.plan(), engine.plan()]
    engine.rollback(plans)
    engine.check_invariants()
    assert list(engine.waiting) == [0, 1, 2]
    assert all(seq.num_in_flight == 0 for seq in engine.waiting.values())
    assert all(block.state == "free" for block in engine.block_manager.blocks)
    assert work(step(engine)[0]) == [(0, 0, 5), (1, 0, 5), (2, 0, 5)]


def test_a_fork_goes_its_own_way() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    step(engine)
    twin = engine.fork(policy=None, max_num_batched_tokens=7, enable_chunked_prefill=True)
    step(twin, token_id=50)
    assert list(engine.running[0].token_ids) == [1, 2, 3, 99]
    assert list(twin.running[0].token_ids) == [1, 2, 3, 99, 50]
    engine.abort(0)
    twin.check_invariants()
    assert list(twin.running) == [0]


def test_a_forked_policy_remembers_the_copies() -> None:
    class Remembers(MixedPolicy):
        seen: tuple[Sequence, ...] = ()

        def order(self, running: Any, waiting: Any) -> Any:
            self.seen = self.seen or (*running, *waiting)
            return [self.seen]

    engine = scheduler(policy=Remembers())
    add(engine, [1, 2, 3])
    step(engine)
    twin = engine.fork(policy=None, max_num_batched_tokens=7, enable_chunked_prefill=True)
    assert work(step(twin)[0]) == [(0, 3, 4)]
    assert engine.running[0].num_computed_tokens == 3
