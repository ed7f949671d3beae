from nanovllm_edu.core.snapshot import snapshot

from tests.core.steps import add, scheduler, step


def test_a_snapshot_holds_queues_tables_and_blocks() -> None:
    engine = scheduler(num_blocks=3, block_size=2, max_num_seqs=1)
    add(engine, [1, 2, 3], [4])
    step(engine)
    state = snapshot(engine)
    assert (state.running, state.waiting, state.block_tables) == ((0,), (1,), {0: (0, 1)})
    assert [block.state for block in state.blocks] == ["used", "used", "free"]
    assert state.blocks[0].token_ids == (1, 2)
    first, second = state.sequences.values()
    assert (first.token_ids, first.num_computed_tokens, first.slot) == ((1, 2, 3, 99), 3, 0)
    assert (second.status, second.slot) == ("waiting", None)


def test_it_does_not_change_with_the_engine() -> None:
    engine = scheduler(num_blocks=3, block_size=2)
    add(engine, [1, 2, 3, 4, 5])
    step(engine)
    before, again = snapshot(engine), snapshot(engine)
    assert before == again
    engine.abort(0)
    assert before == again != snapshot(engine)
    assert snapshot(engine).eviction_order == (1, 0)
