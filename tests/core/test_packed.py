"""Packed records look like unpacked ones, and keeping them keeps few objects alive."""

import gc
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from nanovllm_edu.core.packed import PackedChunks, PackedTables

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import TokenSampled
from nanovllm_edu.core.plan import Chunk
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner

PARAMS = SamplingParams(max_tokens=20)


def decode_chunks(start: int, num_sequences: int = 3) -> list[Chunk]:
    return [Chunk(i, i, start + i, 1, (), 2, (), True, PARAMS, i, 4) for i in range(num_sequences)]


def engine(num_sequences: int, **options: object) -> LLMEngine:
    runner = ChecksumRunner(num_blocks=512, block_size=16, max_model_len=64)
    config = EngineConfig.from_options({"max_num_seqs": 256, "block_size": 16, **options})
    llm = LLMEngine(runner, config)
    for i in range(num_sequences):
        llm.add_request([i, i + 1, i + 2], PARAMS)
    return llm


def test_chunks_come_out_as_they_went_in():
    chunks = decode_chunks(8)
    unpacked = PackedChunks(chunks).unpack()
    assert unpacked == tuple(chunks)
    assert all(type(chunk) is Chunk for chunk in unpacked)
    assert PackedChunks(()).unpack() == ()


def test_a_column_that_did_not_change_is_the_same_object():
    first = PackedChunks(decode_chunks(8))
    second = PackedChunks(decode_chunks(9), first)
    is_shared = {
        name: a is b
        for name, a, b in zip(Chunk._fields, first.columns, second.columns, strict=True)
    }
    assert [name for name, shared in is_shared.items() if not shared] == ["start"]
    assert second.unpack() == tuple(decode_chunks(9))


@pytest.mark.parametrize("num_sequences", [0, 2, 4])
def test_another_number_of_chunks_shares_nothing_wrong(num_sequences: int):
    first = PackedChunks(decode_chunks(8))
    second = PackedChunks(decode_chunks(9, num_sequences), first)
    assert second.unpack() == tuple(decode_chunks(9, num_sequences))
    assert PackedChunks(decode_chunks(9), second).unpack() == tuple(decode_chunks(9))


def test_tables_come_out_as_a_dict_in_order():
    assert list(PackedTables((7, 3), ((1, 2), (5,))).unpack().items()) == [(7, (1, 2)), (3, (5,))]


def test_a_packed_record_equals_one_made_of_plain_values():
    records = list(engine(3).run())
    for record in records:
        plain = {field.name: getattr(record, field.name) for field in fields(record)}
        assert type(plain["chunks"]) is tuple
        assert type(plain["events"]) is tuple
        assert type(plain["block_tables"]) is dict
        twin = StepRecord(**plain)
        assert twin == record
        assert repr(twin) == repr(record)
        assert twin.to_dict() == record.to_dict()
        assert replace(record, events=()) != record


def test_a_record_is_frozen():
    record = engine(1).step()
    with pytest.raises(FrozenInstanceError):
        record.chunks = ()  # type: ignore[misc]


def test_every_token_has_its_event_in_front_of_what_it_caused():
    for record in engine(3).run():
        sampled = [event for event in record.events if isinstance(event, TokenSampled)]
        assert {event.seq_id: event.token_id for event in sampled} == record.new_tokens
        ends = {chunk.seq_id: chunk.end for chunk in record.chunks}
        assert all(event.position == ends[event.seq_id] for event in sampled)
        for seq_id in record.finished:
            kinds = [type(e).__name__ for e in record.events if e.seq_id == seq_id]
            assert kinds.index("TokenSampled") < kinds.index("Finished")


def test_a_block_table_is_the_same_object_until_it_grows():
    tables = [record.block_tables[0] for record in engine(1).run()]
    distinct = {id(table) for table in tables}
    assert len(distinct) == 2, "one block, then two: 3 + 20 tokens in blocks of 16"


def test_a_preempted_sequence_does_not_show_its_old_table():
    """Back with as many blocks as before, but other ones."""
    llm = engine(2, max_num_seqs=2)
    before = llm.step().block_tables[1]
    llm.abort_request(0)
    seq = llm.scheduler.running[1]
    llm.scheduler.queues.send_back(seq, None, "for this test")
    llm.add_request([9, 9, 9], PARAMS)
    llm.scheduler.waiting.move_to_end(1)  # the new one takes the blocks and the slot first
    record = llm.step()
    assert record.block_tables == {
        i: tuple(seq.block_table) for i, seq in llm.scheduler.running.items()
    }
    assert record.block_tables[1] != before


def test_keeping_a_record_keeps_few_objects_alive():
    """What the garbage collector has to walk does not grow with the number of sequences."""
    llm = engine(200)
    llm.step()
    gc.collect()
    num_before, records = len(gc.get_objects()), [llm.step() for _ in range(8)]
    gc.collect()  # it stops tracking tuples of numbers
    assert all(len(record.chunks) == 200 for record in records)
    assert (len(gc.get_objects()) - num_before) / len(records) < 30
