import pytest

from nanovllm_edu.core.events import Preempted, unpack_events
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.request.sequence import SequenceStatus
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.errors import UnknownRequestError
from tests.core.sequences import request
from tests.core.steps import add, scheduler, step


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


def test_a_running_sequence_holds_a_slot_and_blocks_and_a_waiting_one_nothing() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    seq = request(0, [1, 2, 3])
    queues.add(seq)
    assert queues.start(seq, queues.block_manager.match_prefix(seq)) == seq.slot == 0
    assert (list(queues.waiting), list(queues.running), queues.free_slots) == ([], [0], [1])
    queues.block_manager.allocate(seq, 3)
    seq.num_computed_tokens = 3
    queues.check_invariants()
    lost, *freed = unpack_events(queues.send_back(seq, None, "for this test"))
    assert lost == Preempted(0, None, 3, 2, "for this test")
    assert len(freed) == 2
    assert (seq.slot, seq.block_table, list(seq.token_ids)) == (None, [], [1, 2, 3])
    queues.check_invariants()


def test_the_one_that_is_sent_back_is_the_next_to_start() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    for seq_id in range(3):
        queues.add(request(seq_id, [seq_id]))
    seq = queues.waiting[1]
    queues.start(seq, queues.block_manager.match_prefix(seq))
    queues.send_back(seq, None, "for this test")
    assert list(queues.waiting) == [1, 0, 2]
    assert seq.num_preemptions == 1


def test_a_slot_that_leaked_is_found() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    queues.free_slots.pop()
    with pytest.raises(AssertionError, match="slot leak"):
        queues.check_invariants()
