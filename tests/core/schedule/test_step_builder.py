from nanovllm_edu.core.events import BlockCached, unpack_events
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.step_builder import Draft
from tests.core.sequences import request


def draft_with(seq: Sequence) -> Draft:
    """A step of at most 10 tokens, and a sequence that has its slot and blocks of 2 tokens."""
    queues = Queues(BlockManager(8, 2), max_num_seqs=2)
    queues.add(seq)
    queues.start(seq, queues.block_manager.match_prefix(seq))
    queues.block_manager.allocate(seq, seq.num_tokens)
    return Draft(queues, MixedPolicy(), 10, enable_chunked_prefill=True)


def test_a_chunk_takes_its_tokens_from_the_budget_and_counts_at_once() -> None:
    seq = request(0, [1, 2, 3, 4, 5])
    draft = draft_with(seq)
    draft.add_chunk(seq, 3, 0)
    assert (draft.budget, draft.planned, seq.num_computed_tokens) == (7, {0}, 3)
    chunk = draft.chunks[0]
    assert (chunk.token_ids, chunk.new_block_ids, chunk.samples) == ((1, 2, 3), (0, 1, 2), False)
    assert not seq.num_in_flight


def test_a_chunk_that_reaches_the_end_has_a_token_in_flight() -> None:
    seq = request(0, [1, 2, 3])
    draft = draft_with(seq)
    draft.add_chunk(seq, 3, 0)
    assert draft.chunks[0].samples
    assert (seq.num_in_flight, seq.is_decoding, seq.num_tokens) == (1, True, 4)


def test_full_blocks_can_be_found_by_the_next_one_in_the_same_step() -> None:
    seq = request(0, [1, 2, 3, 4, 5])
    draft = draft_with(seq)
    draft.add_chunk(seq, 5, 0)
    assert [type(event) for event in unpack_events(draft.events)] == [BlockCached, BlockCached]
    assert draft.block_manager.match_prefix(request(1, [1, 2, 3, 4, 6])).num_tokens == 4
