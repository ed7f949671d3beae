from typing import Any

import pytest

from nanovllm_edu.core.block_manager import BlockManager
from nanovllm_edu.core.events import Preempted
from nanovllm_edu.core.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.records import StepPlan, StepResult
from nanovllm_edu.core.scheduler import Scheduler
from nanovllm_edu.core.sequence import Sequence, SequenceStatus
from nanovllm_edu.errors import ConfigError, UnknownRequestError
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


# ------------------------------------------------------------------------------- plan


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


def test_a_long_prompt_is_cut_by_the_budget_and_only_its_last_chunk_samples() -> None:
    engine = scheduler(max_num_batched_tokens=3)
    add(engine, list(range(7)))
    plans = [step(engine)[0] for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 6)], [(0, 6, 7)]]
    assert [plan.chunks[0].samples for plan in plans] == [False, False, True]


def test_mixed_fills_with_prompts_what_decodes_leave_of_the_budget() -> None:
    engine = scheduler(max_num_batched_tokens=6)
    add(engine, [1, 2])
    step(engine)
    add(engine, list(range(10, 20)))
    assert work(step(engine)[0]) == [(0, 2, 3), (1, 0, 5)]


def test_phase_separated_never_mixes() -> None:
    engine = scheduler(policy=PhaseSeparatedPolicy())
    add(engine, [1, 2])
    step(engine)
    add(engine, [5, 6, 7])
    assert [work(step(engine)[0]) for _ in range(2)] == [[(1, 0, 3)], [(0, 2, 3), (1, 3, 4)]]


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


def test_slots_limit_how_many_run() -> None:
    engine = scheduler(max_num_seqs=2)
    add(engine, [1], [2], [3])
    plan = step(engine)[0]
    assert [chunk.slot for chunk in plan.chunks] == [0, 1]
    assert plan.blocked is not None
    assert (plan.blocked.seq_id, plan.blocked.resource) == (2, "slots")
    assert "max_num_seqs" in plan.blocked.why


def test_running_sequences_go_on_when_a_policy_names_the_blocked_one_first() -> None:
    class WaitingFirst(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[*waiting, *running]]

    engine = scheduler(max_num_seqs=1, policy=WaitingFirst())
    add(engine, [1], [2])
    step(engine)
    assert work(step(engine)[0]) == [(0, 1, 2)]


def test_the_latest_comer_is_preempted_and_resumes_first_with_its_tokens() -> None:
    engine = scheduler(num_blocks=4, max_num_batched_tokens=100)
    first, second = add(engine, [1] * 8, [2] * 6)
    step(engine)
    third = add(engine, [3])[0]
    plan = step(engine)[0]
    assert plan.preempted == (1,)
    assert list(engine.waiting) == [1, 2]
    assert second.status is SequenceStatus.WAITING
    assert second.token_ids == [2] * 6 + [99]
    assert plan.blocked is not None
    assert plan.blocked.seq_id == 1
    lost = next(event for event in plan.events if isinstance(event, Preempted))
    assert (lost.for_seq_id, lost.num_lost_tokens, lost.num_blocks) == (0, 6, 2)
    engine.abort(first.seq_id)
    assert work(step(engine)[0]) == [(1, 4, 7), (2, 0, 1)]  # its first block was still cached
    assert third.status is SequenceStatus.RUNNING


def test_a_plan_may_follow_a_plan_before_any_value_is_known() -> None:
    engine = scheduler()
    seq = add(engine, [1, 2, 3], max_tokens=2)[0]
    plans = [engine.plan() for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 4)], []]
    assert seq.num_in_flight == 2
    engine.commit(plans[0], {0: 7})
    assert engine.commit(plans[1], {0: 8}).finished == {0: "length"}


def test_a_preempted_sequence_waits_for_its_token_in_flight() -> None:
    engine = scheduler(num_blocks=3, max_num_batched_tokens=100)
    add(engine, [1] * 4, [2] * 4)
    first = engine.plan()
    second = engine.plan()
    assert second.preempted == (1,)
    third = engine.plan()
    assert third.blocked is not None
    assert third.blocked.resource == "in_flight"
    engine.commit(first, {0: 7, 1: 8})
    assert engine.waiting[1].token_ids == [2] * 4 + [8]
    assert engine.waiting[1].num_in_flight == 0


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


def test_a_victim_that_was_not_a_candidate_is_an_error_and_the_plan_is_taken_back() -> None:
    class WrongVictim(MixedPolicy):
        def victim(self, candidates: Any) -> Any:
            return request(9, [1])

    engine = scheduler(num_blocks=2, max_num_batched_tokens=100, policy=WrongVictim())
    add(engine, [1] * 4, [2] * 4)
    step(engine)
    with pytest.raises(ConfigError, match="not one of the 1 candidates"):
        engine.plan()
    engine.check_invariants()
    engine.policy = MixedPolicy()
    assert step(engine)[0].preempted == (1,)


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


# ----------------------------------------------------------------------------- commit


def test_an_end_of_sequence_token_finishes_unless_ignored() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    add(engine, [1])
    add(engine, [2], ignore_eos=True)
    result = step(engine, token_id=5)[1]
    assert result.finished == {0: "stop"}
    assert list(engine.running) == [1]


def test_stop_token_ids_and_lengths_finish() -> None:
    engine = scheduler(max_model_len=4)
    add(engine, [1], stop_token_ids=(99,))
    add(engine, [2], max_tokens=1)
    add(engine, [3, 3, 3])
    add(engine, [4])
    assert step(engine)[1].finished == {0: "stop", 1: "length", 2: "length"}


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
    assert (first.token_ids, second.token_ids) == ([1], [2])
    assert (first.num_in_flight, second.num_in_flight) == (1, 1)
    assert engine.commit(plan, {0: 7, 1: 8}).new_tokens == {0: 7, 1: 8}


def test_a_finished_sequence_drops_its_tokens_in_flight() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    add(engine, [1, 2])
    first, second = engine.plan(), engine.plan()
    assert engine.commit(first, {0: 5}).finished == {0: "stop"}
    assert engine.commit(second, {0: 6}).new_tokens == {}


# ------------------------------------------------------------------- abort and rollback


@pytest.mark.parametrize("num_steps", [0, 1], ids=["waiting", "running"])
def test_abort_ends_a_sequence_and_frees_what_it_has(num_steps: int) -> None:
    engine = scheduler()
    seq = add(engine, [1, 2, 3])[0]
    for _ in range(num_steps):
        step(engine)
    engine.abort(0)
    assert (seq.status, seq.finish_reason) == (SequenceStatus.FINISHED, "abort")
    assert not engine.waiting
    assert not engine.running
    engine.check_invariants()
    with pytest.raises(UnknownRequestError, match="seq_id=0 is not unfinished"):
        engine.abort(0)


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


# --------------------------------------------------------------------------------- fork


def test_a_fork_goes_its_own_way() -> None:
    engine = scheduler()
    add(engine, [1, 2, 3])
    step(engine)
    twin = engine.fork(policy=None, max_num_batched_tokens=7, enable_chunked_prefill=True)
    step(twin, token_id=50)
    assert engine.running[0].token_ids == [1, 2, 3, 99]
    assert twin.running[0].token_ids == [1, 2, 3, 99, 50]
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
