import pytest

from nanovllm_edu.errors import PromptTooLongError
from tests.core.steps import add, scheduler, step, work


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
    assert list(engine.waiting[1].token_ids) == [2] * 4 + [8]
    assert engine.waiting[1].num_in_flight == 0


def test_a_prompt_that_leaves_no_room_is_refused_on_arrival() -> None:
    engine = scheduler(num_blocks=5, max_model_len=3)
    add(engine, [1, 2])
    with pytest.raises(PromptTooLongError, match=r"3 tokens, and max_model_len=3 .*5 blocks of 4"):
        add(engine, [1, 2, 3])
    assert list(engine.waiting) == [0]
