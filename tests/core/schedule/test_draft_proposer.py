"""Guesses: put behind the newest token, verified, and what did not come true handed back."""

from typing import Any

import pytest

from nanovllm_edu.core.events import BlocksFreed, DraftFailed, DraftVerified
from nanovllm_edu.core.memory.block_manager import PREFIX_CACHES, BlockManager
from nanovllm_edu.core.plan import BlockUpdate
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
from tests.core.steps import Guesses, add, commit, scheduler, step, work


def started(*guesses: int, **options: Any) -> tuple[Scheduler, Sequence]:
    """Two prompt tokens and the first generated one, in blocks of 2, with these guesses."""
    engine = scheduler(block_size=2, draft_proposer=Guesses(*guesses), **options)
    seq = add(engine, [1, 2])[0]
    step(engine, 3)
    return engine, seq


def test_guesses_stand_behind_a_single_token_that_is_left_and_nothing_else() -> None:
    engine = scheduler(max_num_batched_tokens=3, draft_proposer=Guesses(8))
    add(engine, [1, 2, 3, 4, 5])
    assert work(step(engine)[0]) == [(0, 0, 3)]
    assert engine.draft_proposer.asked == []  # type: ignore[union-attr]
    assert work(step(engine)[0]) == [(0, 3, 5)]
    engine.abort(0)
    add(engine, [1, 2, 3, 4])  # of which the last one is left alone, as if it had been sampled
    assert [work(step(engine)[0]) for _ in range(2)] == [[(0, 0, 3)], [(0, 3, 5)]]
    assert engine.draft_proposer.asked == [([1, 2, 3, 4], 2)]  # type: ignore[union-attr]


def test_guesses_stand_behind_the_newest_token_and_all_are_claimed() -> None:
    engine, seq = started(4, 5, 6)
    plan = engine.plan()
    assert plan.spans[0] == (0, 0, 2, 4, (3, 4, 5, 6), 3, True)
    assert (plan.spans[0].drafted, plan.spans[0].num_claimed) == ((4, 5, 6), 4)
    assert (seq.num_claimed, seq.num_computed_tokens, len(seq.token_ids)) == (4, 6, 3)
    assert plan.block_updates == (BlockUpdate(0, 0, 1, (1, 2)),)


@pytest.mark.parametrize(
    ("tokens", "num_blocks", "num_freed"),
    [((9,), 2, 1), ((4, 9), 2, 1), ((4, 5, 9), 3, 0), ((4, 5, 6, 9), 3, 0)],
    ids=["wrong", "the first is right", "two are right", "all are right"],
)
def test_what_did_not_come_true_is_handed_back(
    tokens: tuple[int, ...], num_blocks: int, num_freed: int
) -> None:
    engine, seq = started(4, 5, 6)
    settled = commit(engine, engine.plan(), {0: tokens})
    assert settled.new_tokens == {0: tokens}
    assert list(seq.token_ids) == [1, 2, 3, *tokens]
    assert (seq.num_claimed, seq.num_computed_tokens) == (0, 2 + len(tokens))
    assert len(seq.block_table) == num_blocks
    freed = [e for e in settled.events if isinstance(e, BlocksFreed)]
    assert sum(len(event.block_ids) for event in freed) == num_freed
    verified = DraftVerified(0, 3, (4, 5, 6), len(tokens) - 1, 9)
    assert [e for e in settled.events if isinstance(e, DraftVerified)] == [verified]


@pytest.mark.parametrize("prefix_cache", PREFIX_CACHES)
def test_no_guess_is_ever_findable(prefix_cache: str) -> None:
    """A block is published when its last token is settled, with that token in it."""
    manager = BlockManager(16, 2, prefix_cache=prefix_cache)
    engine = Scheduler(manager, draft_proposer=Guesses(4, 5, 6))
    seq = add(engine, [1, 2])[0]
    step(engine, 3)
    plan = engine.plan()
    assert [block.content is not None for block in manager.blocks[:3]] == [True, False, False]
    commit(engine, plan, {0: (4, 9)})
    contents = [manager.blocks[i].content for i in seq.block_table]
    assert [c and list(c.token_ids) for c in contents] == [[1, 2], [3, 4]]
    step(engine, 7)
    contents = [manager.blocks[i].content for i in seq.block_table]
    assert [c and list(c.token_ids) for c in contents] == [[1, 2], [3, 4], None]


def test_the_next_step_begins_where_the_settled_tokens_end() -> None:
    engine, _ = started(4, 5, 6)
    commit(engine, engine.plan(), {0: (4, 9)})
    plan = engine.plan()
    assert plan.spans[0] == (0, 0, 4, 4, (9, 4, 5, 6), 3, True)
    assert plan.block_updates == (BlockUpdate(0, 0, 2, (2, 3)),)


def test_without_a_guess_it_is_a_step_like_any_other() -> None:
    engine, _ = started()
    plan, settled = step(engine)
    assert plan.spans[0] == (0, 0, 2, 1, (), 0, True)
    assert not any(isinstance(e, DraftVerified) for e in settled.events)


@pytest.mark.parametrize(
    ("options", "params", "num_asked"),
    [
        ({"max_num_batched_tokens": 4}, {}, 3),
        ({"max_model_len": 6}, {}, 2),
        ({}, {"max_tokens": 4}, 2),
        ({"num_blocks": 3}, {}, 3),
        ({"max_num_batched_tokens": 2}, {}, 1),
    ],
    ids=["budget", "max_model_len", "max_tokens", "blocks", "a small budget"],
)
def test_only_as_many_are_asked_for_as_may_be_of_use(
    options: Any, params: Any, num_asked: int
) -> None:
    guesses = Guesses(*range(100))
    engine = scheduler(**{"block_size": 2, "draft_proposer": guesses, **options})
    add(engine, [1, 2], **params)
    step(engine, 3)
    plan = engine.plan()
    assert guesses.asked == [([1, 2, 3], num_asked)]
    assert plan.spans[0].num_drafted == num_asked
    engine.check_invariants()


@pytest.mark.parametrize("options", [{"max_num_batched_tokens": 1}, {"max_model_len": 4}])
def test_where_none_is_of_use_none_is_asked_for(options: Any) -> None:
    guesses = Guesses(8)
    engine = scheduler(draft_proposer=guesses, **options)
    add(engine, [1, 2])
    while not engine.running or not engine.running[0].is_decoding:
        step(engine, 3)
    assert step(engine)[0].spans[0].num_drafted == 0
    assert guesses.asked == []


def test_more_guesses_than_asked_for_are_cut() -> None:
    class Generous(Guesses):
        def propose(self, token_ids: Any, num_tokens: int) -> Any:
            return range(10, 1000)

    engine = scheduler(max_num_batched_tokens=4, draft_proposer=Generous())
    add(engine, [1, 2])
    step(engine)
    plan = step(engine)[0]
    assert plan.spans[0].drafted == (10, 11, 12)


class Broken:
    """A proposer that gives this answer, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def propose(self, token_ids: Any, num_tokens: int) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


NONSENSE = {
    "raises": ArithmeticError("no idea"),
    "nothing": None,
    "a number": 7,
    "text": "text",
    "lists": [[1]],
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_a_proposer_that_fails_costs_its_guesses_and_says_so(answer: Any) -> None:
    engine = scheduler(draft_proposer=Broken(answer))
    add(engine, [1, 2], [3, 4])
    step(engine)
    plan, settled = step(engine)
    assert [span.num_drafted for span in plan.spans] == [0, 0]
    failed = [e for e in plan.events if isinstance(e, DraftFailed)]
    assert [e.seq_id for e in failed] == [0, 1]
    assert "goes on without guesses: the proposer failed (" in failed[0].why
    assert settled.new_tokens == {0: (99,), 1: (99,)}


def test_a_value_in_flight_is_waited_for_because_guesses_follow_from_it() -> None:
    engine = scheduler(draft_proposer=Guesses(8))
    add(engine, [1, 2])
    first, second = engine.plan(), engine.plan()
    assert (work(first), work(second)) == ([(0, 0, 2)], [])
    assert second.blocked is not None
    assert (second.blocked.seq_id, second.blocked.resource) == (0, "in_flight")
    assert "what is guessed follows from it" in second.blocked.why
    engine.withdraw(second)
    commit(engine, first, {0: 7})
    assert engine.plan().spans[0].given == (7, 8)


def test_one_that_gave_way_while_it_was_verified_loses_no_token() -> None:
    engine, seq = started(4, 5)
    plan = engine.plan()
    engine.queues.requeue(seq, None, "for this test")
    commit(engine, plan, {0: (4, 9)})
    assert (seq.output_token_ids, seq.num_claimed, seq.num_computed_tokens) == ([3, 4, 9], 0, 0)
    assert work(step(engine)[0]) == [(0, 2, 5)]


def test_taking_back_a_step_takes_back_all_that_it_claimed() -> None:
    engine, seq = started(4, 5, 6)
    engine.take_back([engine.plan()])
    engine.check_invariants()
    assert (seq.num_claimed, seq.num_computed_tokens, list(seq.token_ids)) == (0, 0, [1, 2, 3])


class Many:
    """A proposer for whole batches; remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[list[tuple[list[int], int, int]]] = []

    def propose(self, token_ids: Any, num_tokens: int) -> Any:
        raise AssertionError("nobody asks for one where a batch can be had")

    def propose_many(self, requests: Any) -> Any:
        self.asked.append([(list(r.token_ids), r.num_tokens, r.seed) for r in requests])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_batch_is_asked_about_once_and_only_those_whose_newest_token_is_known() -> None:
    many = Many([[4], [5, 6, 7]])
    engine = scheduler(draft_proposer=many, max_num_batched_tokens=8)
    add(engine, [1, 2], [3], max_tokens=4)
    step(engine)
    add(engine, [7] * 9)
    plan = engine.plan()
    assert many.asked == [[([1, 2, 99], 2, 0), ([3, 99], 2, 0)]]
    assert [span.drafted for span in plan.spans] == [(4,), (5, 6), ()]
    engine.check_invariants()


@pytest.mark.parametrize(
    "answer", [*NONSENSE.values(), [], [[1]] * 3], ids=[*NONSENSE, "too few", "too many"]
)
def test_a_batch_that_fails_costs_all_guesses_and_says_so(answer: Any) -> None:
    engine = scheduler(draft_proposer=Many(answer))
    add(engine, [1, 2], [3, 4])
    step(engine)
    plan, settled = step(engine)
    assert [span.num_drafted for span in plan.spans] == [0, 0]
    assert [e.seq_id for e in plan.events if isinstance(e, DraftFailed)] == [0, 1]
    assert settled.new_tokens == {0: (99,), 1: (99,)}
