from threading import Thread
from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError, EngineClosedError
from tests.engine.engines import (
    GREEDY,
    LONG,
    PROMPTS,
    add_all,
    collect,
    engine,
    finish,
    right_tokens,
)


def test_a_step_leaves_nothing_in_flight() -> None:
    llm = engine()
    add_all(llm)
    while llm.has_unfinished_requests():
        llm.step()
        assert llm.num_steps_in_flight == 0
        assert all(seq.num_claimed == 0 for seq in llm.state().sequences.values())


def test_a_step_without_requests_does_nothing() -> None:
    llm = engine()
    record = llm.step()
    assert (record.spans, record.new_tokens, record.events) == ((), {}, ())
    assert list(llm.run()) == []


def test_step_ids_ascend() -> None:
    llm = engine()
    add_all(llm)
    assert [record.step_id for record in finish(llm)] == list(range(6))


def test_run_keeps_up_to_depth_steps_in_flight() -> None:
    for depth in (0, 1, 3):
        llm = engine()
        add_all(llm)
        records = list(llm.run(depth))
        assert max(record.num_in_flight for record in records) == depth
        assert records[-1].num_in_flight == 0


@pytest.mark.parametrize("depth", [-1, 1.0, "1", None, True])
def test_a_bad_depth_is_an_error_at_the_call(depth: Any) -> None:
    with pytest.raises(ConfigError, match="0 does not overlap"):
        engine().run(depth)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_steps_after_an_abandoned_run_give_its_records_first(depth: int) -> None:
    llm = engine()
    seq_ids = add_all(llm)
    records = [next(llm.run(depth))]
    assert llm.num_steps_in_flight == depth
    for left in reversed(range(depth)):
        records.append(llm.step())
        assert llm.num_steps_in_flight == left
    while llm.has_unfinished_requests():
        records.append(llm.step())
    assert collect(records, seq_ids) == right_tokens()


def test_a_shallower_run_after_an_abandoned_one_drains_it() -> None:
    llm = engine()
    seq_ids = add_all(llm)
    records = [next(llm.run(3))]
    stream = llm.run(0)
    records += [next(stream) for _ in range(3)]
    assert llm.num_steps_in_flight == 0
    assert collect(records + list(stream), seq_ids) == right_tokens()


def test_requests_may_arrive_while_it_runs() -> None:
    llm = engine()
    first = add_all(llm, PROMPTS[:1])
    records, late = [], []
    for record in llm.run(2):
        records.append(record)
        if len(records) == 3:
            late = add_all(llm, PROMPTS[1:])
    assert collect(records, first + late) == right_tokens()


def test_a_record_shows_the_step_as_it_was() -> None:
    llm = engine(max_num_seqs=2)
    add_all(llm)
    record = llm.step()
    assert (record.running, record.waiting) == ((0, 1), (2, 3))
    assert record.block_tables == llm.state().block_tables
    assert set(record.timings) >= {"plan", "commit"}
    assert record.num_tokens == sum(span.num_tokens for span in record.spans)


def test_a_record_keeps_the_blocks_of_what_finished_in_it() -> None:
    llm = engine()
    llm.add_request([1, 2, 3, 4, 5], SamplingParams(max_tokens=1))
    record = llm.step()
    assert record.finished == {0: "length"}
    assert record.running == ()
    assert record.block_tables == {0: (0, 1)}


def test_states_are_equal_when_engines_are() -> None:
    one, other = engine(), engine()
    assert one.state() == other.state()
    add_all(one)
    assert one.state() != other.state()
    add_all(other)
    assert one.state() == other.state()
    one.step()
    assert one.state() != other.state()
    other.step()
    assert one.state() == other.state()


def test_a_state_is_a_snapshot() -> None:
    llm = engine()
    add_all(llm)
    llm.step()
    state = llm.state()
    text = repr(state)
    finish(llm)
    assert repr(state) == text


def test_two_engines_in_one_process_do_not_meet() -> None:
    one, other = engine(), engine(block_size=2, num_blocks=64)
    ones, others = add_all(one), add_all(other, PROMPTS[::-1])
    one_records, other_records = [], []
    while one.has_unfinished_requests() or other.has_unfinished_requests():
        one_records.append(one.step())
        other_records.append(other.step())
    assert collect(one_records, ones) == right_tokens()
    assert collect(other_records, others) == right_tokens(PROMPTS[::-1])


# ---------------------------------------------------------------------- advance, threads


def test_advance_commits_one_step_and_keeps_so_many_planned() -> None:
    llm = engine()
    seq_ids = add_all(llm)
    records: list[StepRecord] = []
    while (record := llm.advance(2)) is not None:
        records.append(record)
        assert llm.newest_record is record
        assert llm.num_steps_in_flight <= 2
    assert llm.advance(2) is None
    assert llm.num_steps_in_flight == 0
    assert collect(records, seq_ids) == right_tokens()


def test_without_requests_advance_has_nothing_to_do() -> None:
    assert engine().advance() is None


def test_several_threads_step_one_batch_and_each_step_has_one_record() -> None:
    llm = engine()
    seqs = llm.add_requests(zip(PROMPTS, [LONG] * 4, strict=True))
    records: list[StepRecord] = []

    def step_until_done() -> None:
        while (record := llm.advance(1)) is not None:
            records.append(record)

    threads = [Thread(target=step_until_done) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [seq.output_token_ids for seq in seqs] == right_tokens(params=LONG)
    assert sorted(record.step_id for record in records) == list(range(len(records)))
    llm.scheduler.check_invariants()


def test_nobody_comes_between_the_lines_of_an_exclusive_block() -> None:
    llm = engine()
    order: list[str] = []
    thread = Thread(target=lambda: (llm.add_request([1], GREEDY), order.append("other")))
    with llm.exclusive():
        llm.add_request([2], GREEDY)  # whoever is in may come in again
        thread.start()
        thread.join(0.2)
        assert llm.unfinished_seq_ids() == {0}
        order.append("inside")
    thread.join(60)
    assert order == ["inside", "other"]
    assert llm.unfinished_seq_ids() == {0, 1}


def test_an_exception_in_an_exclusive_block_opens_it_again() -> None:
    llm = engine()
    with pytest.raises(ZeroDivisionError), llm.exclusive():
        raise ZeroDivisionError
    thread = Thread(target=llm.add_request, args=([1], GREEDY))
    thread.start()
    thread.join(60)
    assert llm.unfinished_seq_ids() == {0}


# ------------------------------------------------------------------------------ close


def test_closing_is_idempotent_and_nothing_works_afterwards() -> None:
    llm = engine()
    add_all(llm)
    stream = llm.run(1)
    next(stream)
    llm.close()
    llm.close()
    for call in (
        llm.step,
        llm.run,
        llm.fork,
        lambda: llm.add_request([1], GREEDY),
        lambda: llm.abort_request(0),
        lambda: next(stream),
    ):
        with pytest.raises(EngineClosedError, match="closed"):
            call()


def test_a_with_block_closes() -> None:
    with engine() as llm:
        add_all(llm)
        finish(llm)
    with pytest.raises(EngineClosedError):
        llm.step()


def test_repr_says_what_it_is_and_what_it_does() -> None:
    llm = engine()
    add_all(llm)
    assert repr(llm) == (
        "LLMEngine(ChecksumRunner(num_blocks=32, block_size=4), 32 blocks of 4 tokens, "
        "max_model_len=128, policy=MixedPolicy(), 0 running, 4 waiting)"
    )
