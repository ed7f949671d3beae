from dataclasses import replace
from typing import Any

import pytest

from nanovllm_edu.core.events import DraftFailed, Finished
from nanovllm_edu.core.plan import SamplingUpdate
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence, TokenLogprobs
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.errors import UnknownRequestError
from tests.core.steps import add, commit, output, scheduler, step, work


def test_a_prompt_is_computed_whole_and_then_token_by_token() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    assert [work(step(engine)[0]) for _ in range(3)] == [[(0, 0, 3)], [(0, 3, 4)], [(0, 4, 5)]]


def test_a_decode_carries_no_token() -> None:
    """The device has sampled it itself, and had the prompt's with `Joined`."""
    engine = scheduler()
    add(engine, [1, 2, 3])
    first, second = step(engine)[0], step(engine)[0]
    assert [list(joined.token_ids) for joined in first.joined] == [[1, 2, 3]]
    assert (first.spans[0].given, second.spans[0].given, second.joined) == ((), (), ())


def test_plans_are_numbered_and_one_without_work_is_no_step() -> None:
    engine = scheduler(max_num_seqs=1)
    add(engine, [1], [2])
    first = step(engine)[0]
    engine.abort(0)
    engine.update_sampling(1, SamplingParams(temperature=0.5))
    engine.policy = PhaseSeparatedPolicy()
    engine.max_num_batched_tokens = 0
    nothing = engine.plan()
    assert (work(nothing), nothing.left) == ([], (0,))
    engine.withdraw(nothing)
    engine.max_num_batched_tokens = 9
    second = step(engine)[0]
    assert (first.step_id, second.step_id) == (0, 1)
    assert (work(second), second.left) == ([(1, 0, 1)], (0,))


def test_what_a_withdrawn_plan_decided_is_told_by_the_next_one() -> None:
    engine = scheduler(max_num_batched_tokens=0)
    add(engine, [1])
    decided = DraftFailed(7, "for this test")
    engine.withdraw(replace(engine.plan(), events=(decided,)))
    engine.max_num_batched_tokens = 9
    plans = [step(engine)[0] for _ in range(2)]
    assert [decided in plan.events for plan in plans] == [True, False]


def test_another_way_of_sampling_is_said_with_the_next_plan() -> None:
    engine = scheduler()
    add(engine, [1], [2])
    step(engine)
    hot = SamplingParams(temperature=2.0)
    engine.update_sampling(1, hot)
    plans = [step(engine)[0] for _ in range(2)]
    assert [plan.sampling_updates for plan in plans] == [(SamplingUpdate(1, 1, hot),), ()]
    with pytest.raises(UnknownRequestError):
        engine.update_sampling(9, hot)


def test_one_that_waits_joins_with_the_newest_way_of_sampling() -> None:
    engine = scheduler()
    add(engine, [1])
    hot = SamplingParams(temperature=2.0)
    engine.update_sampling(0, hot)
    plan = step(engine)[0]
    assert plan.joined[0].sampling == hot


@pytest.mark.parametrize("undo", ["take_back", "withdraw"])
def test_what_no_device_heard_for_certain_is_said_again(undo: str) -> None:
    engine = scheduler(max_num_seqs=3)
    add(engine, [1], [2], [3])
    step(engine)
    hot = SamplingParams(temperature=2.0)
    engine.abort(2)
    engine.update_sampling(0, hot)
    if undo == "withdraw":
        engine.max_num_batched_tokens = 0
    plan = engine.plan()
    assert (plan.left, plan.sampling_updates) == ((2,), (SamplingUpdate(0, 0, hot),))
    if undo == "withdraw":
        engine.withdraw(plan)
        engine.max_num_batched_tokens = 9
    else:
        engine.take_back([plan])
    again = step(engine)[0]
    assert 2 in again.left
    if undo == "withdraw":
        assert again.sampling_updates == (SamplingUpdate(0, 0, hot),)
    else:  # its sequences join anew
        assert set(again.left) == {0, 1, 2}
        assert {joined.seq_id: joined.sampling for joined in again.joined}[0] == hot


def test_a_plan_may_follow_a_plan_before_any_value_is_known() -> None:
    engine = scheduler()
    seq = add(engine, [1, 2, 3], max_tokens=2)[0]
    plans = [engine.plan() for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 4)], []]
    assert seq.num_claimed == 2
    commit(engine, plans[0], {0: 7})
    assert commit(engine, plans[1], {0: 8}).finished == {0: "length"}


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
    assert engine.waiting[0].num_claimed == 0
    engine.policy = MixedPolicy()
    assert work(step(engine)[0]) == [(0, 0, 2), (1, 0, 2)]


def test_a_row_that_failed_ends_its_sequence_and_no_other() -> None:
    engine = scheduler(block_size=2)
    first, second = add(engine, [1, 2, 3], [4, 5, 6])
    plan = engine.plan()
    settled = commit(engine, plan, {1: 8}, errors={0: "not a number"})
    assert (settled.new_tokens, settled.finished) == ({1: (8,)}, {0: "error"})
    assert (first.finish_reason, first.finish_detail) == ("error", "not a number")
    assert (first.output_token_ids, first.num_claimed, first.block_table) == ([], 0, [])
    assert list(engine.running) == [second.seq_id]
    assert [e.why for e in settled.events if isinstance(e, Finished)] == [
        "seq 0 is finished with 3 tokens (reason 'error': not a number)"
    ]


def test_a_row_that_failed_in_the_middle_of_its_prompt_ends_too() -> None:
    engine = scheduler(max_num_batched_tokens=2)
    add(engine, [1, 2, 3])
    settled = commit(engine, engine.plan(), {}, errors={0: "broken"})
    assert settled.finished == {0: "error"}
    assert not engine.running


def test_a_row_that_failed_while_it_was_planned_ahead_drops_the_rest() -> None:
    engine = scheduler()
    add(engine, [1, 2], [3, 4])
    first, second = engine.plan(), engine.plan()
    assert commit(engine, first, {1: 7}, errors={0: "broken"}).finished == {0: "error"}
    assert commit(engine, second, {0: 8, 1: 9}).new_tokens == {1: (9,)}


def test_tokens_have_the_time_of_their_commit_and_their_logprobs() -> None:
    engine = scheduler()
    seq = add(engine, [1], logprobs=0)[0]
    logprobs = {0: (TokenLogprobs(7, -1.0, ()), TokenLogprobs(8, -2.0, ()))}
    plan = engine.plan()
    engine.commit(plan, output({0: 7}, logprobs=logprobs), now=2.5)
    assert seq.token_times == [2.5]
    assert seq.logprobs == [TokenLogprobs(7, -1.0, ())]  # what is no token of it is dropped


def test_a_finished_sequence_drops_its_tokens_in_flight() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    add(engine, [1, 2])
    first, second = engine.plan(), engine.plan()
    assert commit(engine, first, {0: 5}).finished == {0: "stop"}
    assert commit(engine, second, {0: 6}).new_tokens == {}


def test_taking_back_puts_the_steps_sequences_back_in_order_with_nothing_trusted() -> None:
    engine = scheduler()
    add(engine, [1] * 5, [2] * 5, [3] * 5)
    plans = [engine.plan(), engine.plan()]
    engine.take_back(plans)
    engine.check_invariants()
    assert list(engine.waiting) == [0, 1, 2]
    assert all(seq.num_claimed == 0 for seq in engine.waiting.values())
    assert all(block.state == "free" for block in engine.block_manager.blocks)
    assert work(step(engine)[0]) == [(0, 0, 5), (1, 0, 5), (2, 0, 5)]


def test_a_fork_goes_its_own_way() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    step(engine)
    twin = engine.fork(
        policy=None,
        max_num_batched_tokens=7,
        enable_chunked_prefill=True,
        prefill_chunk_size=None,
    )
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
    twin = engine.fork(
        policy=None,
        max_num_batched_tokens=7,
        enable_chunked_prefill=True,
        prefill_chunk_size=None,
    )
    assert work(step(twin)[0]) == [(0, 3, 4)]
    assert engine.running[0].num_computed_tokens == 3
