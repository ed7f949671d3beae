import gc
import json
from dataclasses import FrozenInstanceError, replace

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import DraftVerified, Finished
from nanovllm_edu.core.plan import (
    BlockCopy,
    Blocked,
    BlockRef,
    BlockUpdate,
    Joined,
    Span,
    Spans,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner

ATTACK = "<script>alert(1)</script>"
PARAMS = SamplingParams(max_tokens=20)
PREFILL = Span(0, 0, 0, 3)
DECODE = Span(1, 1, 5, 1)
VERIFY = Span(3, 2, 5, 3, (7, 8, 9), 2)
RECORD = StepRecord(
    plan=StepPlan(
        4,
        Spans((PREFILL, DECODE, VERIFY)),
        joined=(Joined(0, 0, (7, 8, 9), 3, PARAMS, 11),),
        left=(5,),
        block_updates=(BlockUpdate(0, 0, 0, (0, 1)),),
        copies=(BlockCopy(BlockRef(0, 3), BlockRef(1, 6)),),
        blocked=Blocked(2, "rows", 1, 0, f"all 3 rows {ATTACK} are taken"),
    ),
    new_tokens={0: (42,), 1: (43,), 3: (8, 44)},
    finished={1: "length"},
    effects=(
        DraftVerified(3, 6, (8, 9), 1, 44),
        Finished(1, "length", 6, f"{ATTACK} reached"),
    ),
    waiting=(2,),
    block_tables={0: (0, 1), 1: (2, 3, 4), 3: (5, 6)},
    timings={"plan": 0.001},
)


def test_a_record_is_its_plan_and_what_came_of_it() -> None:
    assert (RECORD.step_id, RECORD.spans, RECORD.blocked, RECORD.num_tokens) == (
        4,
        RECORD.plan.spans,
        RECORD.plan.blocked,
        7,
    )
    assert (RECORD.running, RECORD.waiting, RECORD.preempted) == ((0, 3), (2,), ())
    assert RECORD.events == RECORD.plan.events + RECORD.effects


def test_a_record_becomes_json() -> None:
    values = json.loads(json.dumps(RECORD.to_dict()))
    assert values["spans"][0] == {
        "seq_id": 0, "row": 0, "start": 0, "num_tokens": 3, "given": [], "num_drafted": 0,
        "is_sampled": True,
    }  # fmt: skip
    assert (values["spans"][2]["given"], values["spans"][2]["num_drafted"]) == ([7, 8, 9], 2)
    assert values["joined"][0]["token_ids"] == [7, 8, 9]
    assert values["joined"][0]["sampling"]["max_tokens"] == 20
    assert values["left"] == [5]
    assert values["block_updates"] == [{"group": 0, "row": 0, "first": 0, "block_ids": [0, 1]}]
    assert values["copies"] == [{"source": [0, 3], "target": [1, 6]}]
    assert values["new_tokens"] == {"0": [42], "1": [43], "3": [8, 44]}
    assert values["finished"] == {"1": "length"}
    assert values["block_tables"] == {"0": [0, 1], "1": [2, 3, 4], "3": [5, 6]}
    assert values["blocked"]["resource"] == "rows"
    assert [event["kind"] for event in values["events"]] == ["DraftVerified", "Finished"]


def test_a_record_reads_as_text() -> None:
    assert repr(RECORD).splitlines() == [
        "StepRecord 4: 7 tokens",
        "  spans    seq 0 [0, 3) prefill, seq 1 [5, 6) decode, seq 3 [5, 8) verify",
        "  tokens   {0: [42], 1: [43], 3: [8, 44]}",
        "  running  [0, 3]   waiting  [2]",
        "  finished {1: 'length'}",
        f"  blocked  seq 2 waits: all 3 rows {ATTACK} are taken",
    ]


@pytest.mark.parametrize(
    ("span", "kind"),
    [
        (PREFILL, "prefill"),
        (DECODE, "decode"),
        (VERIFY, "verify"),
        (Span(0, 0, 4, 1, is_sampled=False), "prefill"),
        (Span(0, 0, 0, 1), "decode"),
    ],
)
def test_what_others_call_the_work(span: Span, kind: str) -> None:
    assert kind_of(span) == kind


def test_times_do_not_count_when_records_are_compared() -> None:
    assert replace(RECORD, timings={"plan": 9.9}) == RECORD
    assert replace(RECORD, timings={"plan": 9.9}).__repr__() == repr(RECORD)
    assert replace(RECORD, new_tokens={0: (1,)}) != RECORD
    assert replace(RECORD, effects=()) != RECORD


def test_html_is_escaped_and_the_same_each_time() -> None:
    text = RECORD._repr_html_()
    assert "<script" not in text
    assert text == RECORD._repr_html_()
    assert "<table" in text


def test_html_of_a_record_shows_work_tokens_and_reasons() -> None:
    text = RECORD._repr_html_()
    parts = ("Step 4", "prefill", "decode", "verify", "[5, 6)", "42", "8, 44", "[0, 1]", "length")
    for part in (*parts, "seq 2 waits", "1 of 2 guessed tokens"):
        assert part in text


@pytest.mark.parametrize("name", ["waiting", "plan", "new_tokens"])
def test_records_are_frozen(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(RECORD, name, ())


# ------------------------------------------------------------------------ kept by thousands


def engine(num_sequences: int, **options: object) -> LLMEngine:
    runner = ChecksumRunner(num_blocks=512, block_size=16, max_model_len=64)
    config = EngineConfig.from_options({"max_num_seqs": 256, "block_size": 16, **options})
    llm = LLMEngine(runner, config)
    for i in range(num_sequences):
        llm.add_request([i, i + 1, i + 2], PARAMS)
    return llm


def test_a_record_holds_no_live_object() -> None:
    """What the engine does next changes nothing in a record that was kept."""
    llm = engine(3)
    records, texts = [], []
    for record in llm.run():
        records.append(record)
        texts.append((repr(record), json.dumps(record.to_dict())))
    assert texts == [(repr(record), json.dumps(record.to_dict())) for record in records]


def test_a_preempted_sequence_does_not_show_its_old_table() -> None:
    """Back with as many blocks as before, but other ones."""
    llm = engine(2, max_num_seqs=2)
    before = llm.step().block_tables[1]
    llm.abort_request(0)
    seq = llm.scheduler.running[1]
    llm.scheduler.queues.requeue(seq, None, "for this test")
    llm.add_request([9, 9, 9], PARAMS)
    llm.scheduler.waiting.move_to_end(1)  # the new one takes the blocks and the row first
    record = llm.step()
    assert record.block_tables == {
        i: tuple(seq.block_table) for i, seq in llm.scheduler.running.items()
    }
    assert record.block_tables[1] != before


def test_keeping_a_record_keeps_few_objects_alive() -> None:
    """What the garbage collector has to walk does not grow with the number of sequences."""
    llm = engine(200)
    llm.step()
    gc.collect()
    num_before, records = len(gc.get_objects()), [llm.step() for _ in range(8)]
    gc.collect()  # it stops tracking tuples of numbers
    assert all(len(record.spans) == 200 for record in records)
    assert (len(gc.get_objects()) - num_before) / len(records) < 30
