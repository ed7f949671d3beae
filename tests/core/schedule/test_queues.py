import pytest

from nanovllm_edu.core.events import BlocksFreed, Preempted
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import Joined, SamplingUpdate, StepPlan
from nanovllm_edu.core.request.ending import Ending
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence, SequenceStatus
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


def test_a_running_sequence_holds_a_row_and_blocks_and_a_waiting_one_nothing() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    seq = request(0, [1, 2, 3])
    queues.add(seq)
    joined = queues.start(seq, queues.block_manager.match_prefix(seq))
    assert joined == Joined(0, 0, seq.token_ids, 3, seq.params, 0)
    assert (list(queues.waiting), list(queues.running), queues.free_rows) == ([], [0], [1])
    queues.block_manager.allocate(seq, 3)
    seq.num_computed_tokens = 3
    queues.check_invariants()
    lost, freed = queues.requeue(seq, None, "for this test")
    assert lost == Preempted(0, None, 3, 2, "for this test")
    assert freed == BlocksFreed(0, (1, 0), (0, 0), (False, False))
    assert (seq.row, seq.block_table, list(seq.token_ids)) == (None, [], [1, 2, 3])
    queues.check_invariants()


def test_the_one_that_is_sent_back_is_the_next_to_start() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    for seq_id in range(3):
        queues.add(request(seq_id, [seq_id]))
    seq = queues.waiting[1]
    queues.start(seq, queues.block_manager.match_prefix(seq))
    queues.requeue(seq, None, "for this test")
    assert list(queues.waiting) == [1, 0, 2]
    assert seq.num_preemptions == 1


def started(queues: Queues, seq_id: int) -> Sequence:
    """A sequence that holds a row."""
    seq = request(seq_id, [seq_id + 1])
    queues.add(seq)
    queues.start(seq, queues.block_manager.match_prefix(seq))
    return seq


def test_a_row_that_was_given_up_is_news_once() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    first, second = started(queues, 0), started(queues, 1)
    assert queues.news() == ((), ())
    queues.finish(second, Ending("abort", "for this test"))
    queues.requeue(first, None, "for this test")
    assert queues.news() == ((1, 0), ())
    assert queues.news() == ((), ())


def test_another_way_of_sampling_is_news_once_and_of_running_ones_alone() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    seq = started(queues, 3)
    waits = request(4, [1])
    queues.add(waits)
    seq.params = SamplingParams(temperature=0.5)
    queues.resampled |= {3, 4, 99}
    assert queues.news() == ((), (SamplingUpdate(3, 0, seq.params),))
    assert queues.news() == ((), ())


def test_news_that_may_not_have_arrived_is_said_again() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=3)
    kept, gone, later = (started(queues, seq_id) for seq_id in range(3))
    queues.finish(gone, Ending("abort", "for this test"))
    queues.resampled.add(kept.seq_id)
    left, updates = queues.news()
    queues.finish(later, Ending("abort", "for this test"))
    queues.unsay(StepPlan(0, left=left, sampling_updates=updates))
    assert queues.news() == ((1, 2), updates)


def test_a_row_that_leaked_is_found() -> None:
    queues = Queues(BlockManager(4, 2), max_num_seqs=2)
    queues.free_rows.pop()
    with pytest.raises(AssertionError, match="row leak"):
        queues.check_invariants()
