"""One step: how much of whom fits, and what is said of it to the device."""

from typing import Any

import pytest

from nanovllm_edu.core.events import BlocksAllocated, BlocksCached
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import BlockUpdate, Joined
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.step_builder import StepBuilder
from nanovllm_edu.errors import ConfigError, PromptTooLongError
from tests.core.sequences import request
from tests.core.steps import add, commit, scheduler, step, work


def builder_with(seq: Sequence) -> StepBuilder:
    """A step of at most 10 tokens, and a sequence that has its row and blocks of 2 tokens."""
    queues = Queues(BlockManager(8, 2), max_num_seqs=2)
    queues.add(seq)
    queues.start(seq, queues.block_manager.match_prefix(seq))
    queues.block_manager.allocate(seq, seq.num_tokens)
    return StepBuilder(queues, MixedPolicy(), 10, enable_chunked_prefill=True)


def test_a_span_takes_its_tokens_from_the_budget_and_counts_at_once() -> None:
    seq = request(0, [1, 2, 3, 4, 5])
    builder = builder_with(seq)
    builder.add_span(seq, 3, 0)
    assert (builder.budget, builder.planned, seq.num_computed_tokens) == (7, {0: 0}, 3)
    plan = builder.plan(0)
    assert plan.spans[0] == (0, 0, 0, 3, (), 0, False)
    assert plan.block_updates == (BlockUpdate(0, 0, 0, (0, 1, 2)),)
    assert not seq.num_claimed


def test_a_span_that_reaches_the_end_claims_a_token() -> None:
    seq = request(0, [1, 2, 3])
    builder = builder_with(seq)
    builder.add_span(seq, 3, 0)
    assert builder.plan(0).spans[0].is_sampled
    assert (seq.num_claimed, seq.is_decoding, seq.num_tokens) == (1, True, 4)


def test_a_span_with_guesses_gives_them_with_the_newest_token_and_claims_one_more() -> None:
    seq = request(0, [1, 2, 3])
    builder = builder_with(seq)
    seq.num_computed_tokens = 2
    builder.block_manager.allocate(seq, 5)
    builder.add_span(seq, 5, 2, (8, 9))
    assert builder.plan(0).spans[0] == (0, 0, 2, 3, (3, 8, 9), 2, True)
    assert (seq.num_claimed, seq.num_computed_tokens, builder.budget) == (3, 5, 7)


def test_full_blocks_can_be_found_by_the_next_one_in_the_same_step() -> None:
    seq = request(0, [1, 2, 3, 4, 5])
    builder = builder_with(seq)
    builder.add_span(seq, 5, 0)
    (cached,) = builder.events
    assert isinstance(cached, BlocksCached)
    assert (cached.block_ids, cached.indices) == ((0, 1), (0, 1))
    assert builder.block_manager.match_prefix(request(1, [1, 2, 3, 4, 6])).num_tokens == 4


# ------------------------------------------------------------- what is said, and how often


def test_a_request_is_told_once_and_a_block_once() -> None:
    engine = scheduler(block_size=2, max_num_batched_tokens=3)
    seq = add(engine, [1, 2, 3, 4], seed=7)[0]
    seq.seed = 7
    plans = [step(engine)[0] for _ in range(4)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 4)], [(0, 4, 5)], [(0, 5, 6)]]
    assert plans[0].joined == (Joined(0, 0, seq.token_ids[:4], 4, seq.params, 7),)
    assert [plan.joined for plan in plans[1:]] == [()] * 3
    updates = [[(u.first, u.block_ids) for u in plan.block_updates] for plan in plans]
    assert updates == [[(0, (0, 1))], [], [(2, (2,))], []]
    events = [e for plan in plans for e in plan.events if isinstance(e, BlocksAllocated)]
    assert [(e.block_ids, e.first, e.end) for e in events] == [((0, 1), 0, 3), ((2,), 2, 5)]
    assert all(not span.given for plan in plans for span in plan.spans)


def test_what_was_joined_does_not_grow_with_the_sequence() -> None:
    engine = scheduler()
    seq = add(engine, [1, 2, 3])[0]
    joined = step(engine)[0].joined[0]
    step(engine)
    assert (list(joined.token_ids), len(seq.token_ids)) == ([1, 2, 3], 5)


def test_found_blocks_are_said_with_the_new_ones() -> None:
    engine = scheduler(block_size=2)
    add(engine, [1, 2, 3, 4, 5], [1, 2, 3, 4, 6])
    plan = step(engine)[0]
    assert work(plan) == [(0, 0, 5), (1, 4, 5)]
    assert plan.block_updates == (BlockUpdate(0, 0, 0, (0, 1, 2)), BlockUpdate(0, 1, 0, (0, 1, 3)))


def test_one_that_comes_back_joins_anew_with_all_its_tokens() -> None:
    engine = scheduler(num_blocks=4, max_num_batched_tokens=100)
    first, second = add(engine, [1] * 8, [2] * 6)
    step(engine)
    plan = step(engine)[0]
    assert (plan.preempted, plan.left) == ((1,), (1,))
    engine.abort(first.seq_id)
    plan = step(engine)[0]
    assert plan.left == (0,)
    (joined,) = plan.joined
    assert (joined.seq_id, joined.row, list(joined.token_ids)) == (1, 0, [2] * 6 + [99])
    assert joined.num_prompt_tokens == 6
    assert second.row == 0


# ------------------------------------------------------------------------------- planning


def test_a_long_prompt_is_cut_by_the_budget_and_only_its_last_part_is_sampled() -> None:
    engine = scheduler(max_num_batched_tokens=3)
    add(engine, list(range(7)))
    plans = [step(engine)[0] for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 6)], [(0, 6, 7)]]
    assert [plan.spans[0].is_sampled for plan in plans] == [False, False, True]


def test_mixed_fills_with_prompts_what_decodes_leave_of_the_budget() -> None:
    engine = scheduler(max_num_batched_tokens=6)
    add(engine, [1, 2])
    step(engine)
    add(engine, list(range(10, 20)))
    assert work(step(engine)[0]) == [(0, 2, 3), (1, 0, 5)]


def test_whoever_decodes_waits_for_no_more_of_a_prompt_than_a_chunk() -> None:
    engine = scheduler(max_num_batched_tokens=20, prefill_chunk_size=6)
    add(engine, [1, 2])
    step(engine)
    add(engine, list(range(10, 19)), list(range(30, 39)))
    plan = step(engine)[0]
    assert work(plan) == [(0, 2, 3), (1, 0, 6)]
    assert plan.blocked is not None
    assert "0 of 6 (prefill_chunk_size" in plan.blocked.why
    assert work(step(engine)[0]) == [(0, 3, 4), (1, 6, 9), (2, 0, 3)]


def test_behind_a_long_queue_a_step_takes_its_share_of_what_waits() -> None:
    def tokens_beside_a_decode(num_waiting: int, budget: int = 100) -> int:
        engine = scheduler(
            max_num_batched_tokens=budget, prefill_chunk_size=6, num_blocks=400, max_num_seqs=64
        )
        add(engine, [1, 2])
        step(engine)
        add(engine, *(list(range(30 * n, 30 * n + 8)) for n in range(num_waiting)))
        (_, _, _), *prompts = work(step(engine)[0])
        return sum(end - start for _, start, end in prompts)

    assert tokens_beside_a_decode(13) == 6  # 96 tokens wait behind the first
    assert tokens_beside_a_decode(17) == 8
    assert tokens_beside_a_decode(41) == 20
    assert tokens_beside_a_decode(41, budget=12) == 11  # no more than the decode leaves


def test_the_limit_that_a_long_queue_sets_is_named() -> None:
    engine = scheduler(
        max_num_batched_tokens=100, prefill_chunk_size=6, num_blocks=400, max_num_seqs=64
    )
    add(engine, [1, 2])
    step(engine)
    add(engine, *(list(range(30 * n, 30 * n + 8)) for n in range(17)))
    plan = step(engine)[0]
    assert plan.blocked is not None
    assert "8 (one 16th of the queue, for others decode)" in plan.blocked.why


def test_while_nobody_decodes_a_step_takes_all_of_a_prompt() -> None:
    engine = scheduler(max_num_batched_tokens=20, prefill_chunk_size=6)
    add(engine, list(range(18)))
    assert work(step(engine)[0]) == [(0, 0, 18)]


def test_a_prompt_that_must_not_be_cut_is_not_held_up_by_the_size_of_a_chunk() -> None:
    engine = scheduler(
        max_num_batched_tokens=20, prefill_chunk_size=6, enable_chunked_prefill=False
    )
    add(engine, [1, 2])
    step(engine)
    add(engine, list(range(10, 19)))
    assert work(step(engine)[0]) == [(0, 2, 3), (1, 0, 9)]


def test_phase_separated_never_mixes() -> None:
    engine = scheduler(policy=PhaseSeparatedPolicy())
    add(engine, [1, 2])
    step(engine)
    add(engine, [5, 6, 7])
    assert [work(step(engine)[0]) for _ in range(2)] == [[(1, 0, 3)], [(0, 2, 3), (1, 3, 4)]]


def test_running_sequences_go_on_when_a_policy_names_the_blocked_one_first() -> None:
    class WaitingFirst(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[*waiting, *running]]

    engine = scheduler(max_num_seqs=1, policy=WaitingFirst())
    add(engine, [1], [2])
    step(engine)
    assert work(step(engine)[0]) == [(0, 1, 2)]


@pytest.mark.parametrize(
    "answer",
    [None, 3, [None], [[3]], "sequences"],
    ids=["nothing", "a number", "no group", "no sequence", "text"],
)
def test_a_policy_that_returns_nonsense_is_an_error_that_says_what_to_return(answer: Any) -> None:
    class Nonsense(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return answer

    engine = scheduler(policy=Nonsense())
    add(engine, [1])
    with pytest.raises(ConfigError, match=r"return a list of groups"):
        engine.plan()
    engine.policy = MixedPolicy()
    assert work(step(engine)[0]) == [(0, 0, 1)]


def test_a_flat_list_of_sequences_is_told_from_groups() -> None:
    class Flat(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [*running, *waiting]

    engine = scheduler(policy=Flat())
    add(engine, [1])
    with pytest.raises(ConfigError, match="list of groups"):
        engine.plan()


def test_sequences_of_another_engine_are_not_touched() -> None:
    stranger = request(0, [7, 7])

    class Confused(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[stranger, *running, *waiting, *waiting]]

    engine = scheduler(policy=Confused())
    add(engine, [1, 2, 3])
    assert work(step(engine)[0]) == [(0, 0, 3)]
    assert not stranger.block_table


# ------------------------------------------------------------------------------ admission


def test_without_chunked_prefill_a_prompt_waits_for_a_step_that_fits_it() -> None:
    engine = scheduler(max_num_batched_tokens=6, enable_chunked_prefill=False)
    add(engine, [1, 2, 3, 4], [5, 6, 7, 8])
    plan = step(engine)[0]
    assert work(plan) == [(0, 0, 4)]
    assert plan.blocked is not None
    assert (plan.blocked.resource, plan.blocked.needed, plan.blocked.available) == ("budget", 4, 2)


def test_no_one_overtakes_the_one_that_waits() -> None:
    engine = scheduler(num_blocks=4, max_num_batched_tokens=100)
    add(engine, [1] * 8, [2] * 12, [3])
    plan = step(engine)[0]
    assert work(plan) == [(0, 0, 8)]
    assert plan.blocked is not None
    assert (plan.blocked.seq_id, plan.blocked.resource) == (1, "blocks")
    assert (plan.blocked.needed, plan.blocked.available) == (3, 2)


def test_rows_limit_how_many_run() -> None:
    engine = scheduler(max_num_seqs=2)
    add(engine, [1], [2], [3])
    plan = step(engine)[0]
    assert [span.row for span in plan.spans] == [0, 1]
    assert plan.blocked is not None
    assert (plan.blocked.seq_id, plan.blocked.resource) == (2, "rows")
    assert "max_num_seqs" in plan.blocked.why


def test_a_preempted_sequence_waits_for_its_token_in_flight() -> None:
    engine = scheduler(num_blocks=3, max_num_batched_tokens=100)
    add(engine, [1] * 4, [2] * 4)
    first = engine.plan()
    second = engine.plan()
    assert second.preempted == (1,)
    third = engine.plan()
    assert third.blocked is not None
    assert third.blocked.resource == "in_flight"
    commit(engine, first, {0: 7, 1: 8})
    assert list(engine.waiting[1].token_ids) == [2] * 4 + [8]
    assert engine.waiting[1].num_claimed == 0
    assert engine.waiting[1].num_computed_tokens == 0


def test_a_prompt_that_leaves_no_room_is_refused_on_arrival() -> None:
    engine = scheduler(num_blocks=5, max_model_len=3)
    add(engine, [1, 2])
    with pytest.raises(PromptTooLongError, match=r"3 tokens, and max_model_len=3 .*5 blocks of 4"):
        add(engine, [1, 2, 3])
    assert list(engine.waiting) == [0]
