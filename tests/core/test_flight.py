from nanovllm_edu.core.flight import Flight
from nanovllm_edu.core.packed import PackedChunks

from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.runners.checksum import ReadyTicket
from tests.core.steps import add, scheduler


def test_a_record_tells_of_the_moment_of_its_plan() -> None:
    engine = scheduler(max_num_seqs=2)
    add(engine, [1, 2, 3], [4])
    plan = engine.plan()
    flight = Flight.of(plan, ReadyTicket({0: 7, 1: 8}), engine.queues, 0.5)
    add(engine, [5])
    engine.plan()
    result = engine.commit(plan, {0: 7, 1: 8})
    record = flight.record(result, PackedChunks(plan.chunks), 1, 0.25)
    assert (record.running, record.waiting, record.block_tables) == ((0, 1), (), {0: (0,), 1: (1,)})
    assert (record.chunks, record.new_tokens, record.num_in_flight) == (
        plan.chunks,
        {0: 7, 1: 8},
        1,
    )
    assert record.events == plan.events + result.events
    assert (record.timings["plan"], record.timings["commit"]) == (0.5, 0.25)


def test_what_has_ended_is_not_in_the_record_of_its_last_step() -> None:
    engine = scheduler()
    add(engine, [1], max_tokens=1)
    add(engine, [2])
    engine.abort(1)
    add(engine, [3])
    plan = engine.plan()
    ticket = ReadyTicket({0: 7, 1: 8})
    ticket.logprobs = {0: TokenLogprobs(7, -1.0, ()), 5: TokenLogprobs(8, -2.0, ())}
    flight = Flight.of(plan, ticket, engine.queues, 0.0)
    record = flight.record(engine.commit(plan, {0: 7, 1: 8}), PackedChunks(plan.chunks), 0, 0.0)
    assert record.finished == {0: "length"}
    assert record.running == (1,)
    assert record.logprobs.keys() == {0}
