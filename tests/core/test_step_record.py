import json
from dataclasses import FrozenInstanceError, replace

import pytest

from nanovllm_edu.core.events import Finished, TokenSampled
from nanovllm_edu.core.plan import Blocked, Chunk
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import BlockState, EngineState, SequenceState, StepRecord

ATTACK = "<script>alert(1)</script>"
PREFILL = Chunk(0, 0, 0, 3, (7, 8, 9), 0, (0, 1), True, SamplingParams(), 0, 3)
DECODE = Chunk(1, 1, 5, 1, (), 3, (), True, SamplingParams(), 0, 3)
RECORD = StepRecord(
    step_id=4,
    chunks=(PREFILL, DECODE),
    new_tokens={0: 42, 1: 43},
    finished={1: "length"},
    events=(TokenSampled(0, 42, 3), Finished(1, "length", 6, f"{ATTACK} reached")),
    waiting=(2,),
    running=(0,),
    block_tables={0: (0, 1), 1: (2, 3, 4)},
    blocked=Blocked(2, "slots", 1, 0, f"all 2 slots {ATTACK} are taken"),
    timings={"plan": 0.001},
)
STATE = EngineState(
    waiting=(2,),
    running=(0,),
    block_tables={0: (0, 1)},
    blocks=(
        BlockState(0, 1, 0xAB, (7, 8), "used"),
        BlockState(1, 1, None, (), "used"),
        BlockState(2, 0, 0xCD, (5, 6), "cached"),
        BlockState(3, 0, None, (), "free"),
    ),
    sequences={
        0: SequenceState(0, "running", (7, 8, 9), 3, 3, 0, 0),
        2: SequenceState(2, "waiting", (1,), 1, 0, 0, None),
    },
    eviction_order=(2,),
)


def test_a_record_becomes_json() -> None:
    values = json.loads(json.dumps(RECORD.to_dict()))
    assert values["chunks"][0]["token_ids"] == [7, 8, 9]
    assert values["chunks"][0]["new_block_ids"] == [0, 1]
    assert values["new_tokens"] == {"0": 42, "1": 43}
    assert values["finished"] == {"1": "length"}
    assert values["block_tables"] == {"0": [0, 1], "1": [2, 3, 4]}
    assert values["blocked"]["resource"] == "slots"
    assert [event["kind"] for event in values["events"]] == ["TokenSampled", "Finished"]


def test_a_record_reads_as_text() -> None:
    assert repr(RECORD).splitlines() == [
        "StepRecord 4: 4 tokens",
        "  chunks   seq 0 [0, 3), seq 1 [5, 6) decode",
        "  tokens   {0: 42, 1: 43}",
        "  running  [0]   waiting  [2]",
        "  finished {1: 'length'}",
        f"  blocked  seq 2 waits: all 2 slots {ATTACK} are taken",
    ]


def test_times_do_not_count_when_records_are_compared() -> None:
    assert replace(RECORD, timings={"plan": 9.9}) == RECORD
    assert replace(RECORD, timings={"plan": 9.9}).__repr__() == repr(RECORD)
    assert replace(RECORD, new_tokens={0: 1}) != RECORD


@pytest.mark.parametrize("snapshot", [RECORD, STATE])
def test_html_is_escaped_and_the_same_each_time(snapshot: StepRecord | EngineState) -> None:
    text = snapshot._repr_html_()
    assert "<script" not in text
    assert text == snapshot._repr_html_()
    assert "<table" in text


def test_html_of_a_record_shows_work_tokens_and_reasons() -> None:
    text = RECORD._repr_html_()
    for part in ("Step 4", "prefill", "decode", "[5, 6)", "42", "length", "seq 2 waits"):
        assert part in text


def test_a_state_becomes_json_with_hex_hashes() -> None:
    values = json.loads(json.dumps(STATE.to_dict()))
    assert values["blocks"][0]["hash"] == "00000000000000ab"
    assert values["blocks"][1]["hash"] is None
    assert values["sequences"]["2"]["slot"] is None
    assert values["eviction_order"] == [2]


def test_a_state_counts_its_blocks() -> None:
    assert [STATE.num_blocks(state) for state in ("used", "cached", "free")] == [2, 1, 1]
    assert repr(STATE).splitlines() == [
        "EngineState: waiting [2], running [0]",
        "  blocks: 2 used, 1 cached, 1 free of 4",
        "  seq 0: blocks [0, 1]",
    ]


def test_html_of_a_state_leaves_blank_blocks_out() -> None:
    text = STATE._repr_html_()
    assert "2 used, 1 cached, 1 free" in text
    assert "00000000000000cd" in text
    assert text.count("<tr>") == 2 + 2 + 3


@pytest.mark.parametrize("snapshot", [RECORD, STATE])
def test_snapshots_are_frozen(snapshot: StepRecord | EngineState) -> None:
    with pytest.raises(FrozenInstanceError):
        snapshot.waiting = ()  # type: ignore[misc]
