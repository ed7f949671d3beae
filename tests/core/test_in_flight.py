from typing import Any

from nanovllm_edu.core.in_flight import InFlightStep
from nanovllm_edu.core.plan import StepOutput
from nanovllm_edu.core.request.sequence import TokenLogprobs
from nanovllm_edu.runners.checksum import ReadyTicket
from tests.core.steps import Guesses, add, output, scheduler, step


def launched(engine: Any, plan: Any, plan_seconds: float = 0.0) -> InFlightStep:
    return InFlightStep.of(plan, ReadyTicket(StepOutput({})), engine.queues, plan_seconds)


def test_a_record_tells_of_the_moment_of_its_plan() -> None:
    engine = scheduler(max_num_seqs=2)
    add(engine, [1, 2, 3], [4])
    plan = engine.plan()
    in_flight = launched(engine, plan, 0.5)
    add(engine, [5])
    engine.plan()
    came = output({0: 7, 1: 8}, timings={"forward": 0.125})
    settled = engine.commit(plan, came)
    record = in_flight.record(came, settled, 1, 0.25)
    assert (record.running, record.waiting, record.block_tables) == ((0, 1), (), {0: (0,), 1: (1,)})
    assert (record.plan, record.new_tokens, record.num_in_flight) == (plan, {0: (7,), 1: (8,)}, 1)
    assert record.spans is plan.spans
    assert record.events == plan.events + settled.events
    assert record.timings == {"plan": 0.5, "forward": 0.125, "commit": 0.25}


def test_what_has_ended_is_not_in_the_record_of_its_last_step() -> None:
    engine = scheduler()
    add(engine, [1], max_tokens=1)
    add(engine, [2])
    engine.abort(1)
    add(engine, [3])
    plan = engine.plan()
    logprobs = {0: (TokenLogprobs(7, -1.0, ()),), 5: (TokenLogprobs(8, -2.0, ()),)}
    came = output({0: 7, 1: 8}, logprobs=logprobs)
    in_flight = launched(engine, plan)
    record = in_flight.record(came, engine.commit(plan, came), 0, 0.0)
    assert record.finished == {0: "length"}
    assert record.running == (1,)
    assert record.logprobs.keys() == {0}


def test_one_that_had_to_wait_and_ends_with_its_last_token_waits_no_more() -> None:
    engine = scheduler(num_blocks=3, max_num_batched_tokens=100)
    add(engine, [1] * 4, max_tokens=9)
    add(engine, [2] * 4, max_tokens=2)
    first, second = engine.plan(), engine.plan()
    assert second.preempted == (1,)  # with its first token still in flight
    came = output({0: 7, 1: 8})
    engine.waiting[1].max_num_tokens = 5
    in_flight = launched(engine, first)._replace(waiting=(1,))
    record = in_flight.record(came, engine.commit(first, came), 1, 0.0)
    assert (record.finished, record.waiting) == ({1: "length"}, ())


def test_logprobs_of_tokens_that_were_not_taken_are_left_out() -> None:
    engine = scheduler(draft_proposer=Guesses(4, 5), eos_token_ids=frozenset({4}))
    add(engine, [1], logprobs=0)
    step(engine)
    plan = engine.plan()
    each = tuple(TokenLogprobs(token_id, -1.0, ()) for token_id in (4, 5, 6))
    came = output({0: (4, 5, 6)}, logprobs={0: each})
    in_flight = launched(engine, plan)
    record = in_flight.record(came, engine.commit(plan, came), 0, 0.0)
    assert (record.new_tokens, record.logprobs) == ({0: (4,)}, {0: each[:1]})


def test_a_block_table_is_the_same_object_until_it_grows() -> None:
    engine = scheduler(block_size=16)
    add(engine, [1, 2, 3], max_tokens=20)
    tables: list[tuple[int, ...]] = []
    while engine.waiting or engine.running:
        plan = engine.plan()
        tables.append(launched(engine, plan).block_tables[0])
        engine.commit(plan, output({0: 99}))
    assert len(tables) == 20
    assert len({id(table) for table in tables}) == 2, "one block, then two"
