import json
from dataclasses import FrozenInstanceError

import pytest

from nanovllm_edu.core.engine_state import BlockState, EngineState, SequenceState, snapshot
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.schedule.scheduler import Scheduler
from tests.core.steps import Guesses, add, scheduler, step

STATE = EngineState(
    waiting=(2,),
    running=(0,),
    block_tables={0: (0, 1)},
    blocks=(
        BlockState(0, 1, 0xAB, (7, 8), "used"),
        BlockState(1, 1, None, (), "used"),
        BlockState(2, 0, 0xCD, (5, "<script>"), "cached"),
        BlockState(3, 0, None, (), "free"),
    ),
    sequences={
        0: SequenceState(0, "running", (7, 8, 9), 3, 3, 0, 0),
        2: SequenceState(2, "waiting", (1,), 1, 0, 0, None),
    },
    eviction_order=(2,),
)


def test_a_snapshot_holds_queues_tables_and_blocks() -> None:
    engine = scheduler(num_blocks=3, block_size=2, max_num_seqs=1)
    add(engine, [1, 2, 3], [4])
    step(engine)
    state = snapshot(engine)
    assert (state.running, state.waiting, state.block_tables) == ((0,), (1,), {0: (0, 1)})
    assert [block.state for block in state.blocks] == ["used", "used", "free"]
    assert state.blocks[0].token_ids == (1, 2)
    first, second = state.sequences.values()
    assert (first.token_ids, first.num_computed_tokens, first.row) == ((1, 2, 3, 99), 3, 0)
    assert (second.status, second.row) == ("waiting", None)


def test_it_does_not_change_with_the_engine() -> None:
    engine = scheduler(num_blocks=3, block_size=2)
    add(engine, [1, 2, 3, 4, 5])
    step(engine)
    before, again = snapshot(engine), snapshot(engine)
    assert before == again
    engine.abort(0)
    assert before == again != snapshot(engine)
    assert snapshot(engine).eviction_order == (1, 0)


def test_claimed_tokens_are_counted() -> None:
    engine = scheduler(draft_proposer=Guesses(4, 5))
    add(engine, [1, 2])
    step(engine)
    engine.plan()
    (seq,) = snapshot(engine).sequences.values()
    assert (seq.num_claimed, seq.num_computed_tokens, seq.token_ids) == (3, 5, (1, 2, 99))


def test_a_block_of_the_tree_has_tokens_and_no_hash() -> None:
    engine = Scheduler(BlockManager(4, 2, prefix_cache="radix"))
    add(engine, [1, 2, 3])
    step(engine)
    assert snapshot(engine).blocks[0] == BlockState(0, 1, None, (1, 2), "used")


def test_a_state_becomes_json_with_hex_hashes() -> None:
    values = json.loads(json.dumps(STATE.to_dict()))
    assert values["blocks"][0]["hash"] == "00000000000000ab"
    assert values["blocks"][1]["hash"] is None
    assert values["sequences"]["2"]["row"] is None
    assert values["sequences"]["0"]["num_claimed"] == 0
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
    assert "None" not in text  # who waits has no row


def test_html_is_escaped_and_the_same_each_time() -> None:
    text = STATE._repr_html_()
    assert "<script" not in text
    assert text == STATE._repr_html_()
    assert "<table" in text


@pytest.mark.parametrize(
    ("value", "name"),
    [(STATE, "waiting"), (STATE.blocks[0], "state"), (STATE.sequences[0], "status")],
)
def test_a_state_is_frozen(value: object, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, ())
