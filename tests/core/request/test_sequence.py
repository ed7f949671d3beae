from nanovllm_edu.core.request.sequence import SequenceStatus
from tests.core.sequences import request


def test_tokens_in_flight_count_as_tokens() -> None:
    seq = request(0, [1, 2, 3])
    seq.num_computed_tokens, seq.num_in_flight = 3, 1
    assert seq.num_tokens == 4
    assert seq.num_remaining_tokens == 1


def test_output_starts_where_the_prompt_ends() -> None:
    seq = request(0, [1, 2])
    seq.token_ids.extend([8, 9])
    assert seq.output_token_ids == [8, 9]


def test_a_request_limits_its_own_length() -> None:
    assert request(0, [1, 2], max_tokens=5).max_num_tokens == 7


def test_a_restarted_sequence_keeps_its_tokens_and_nothing_else() -> None:
    seq = request(3, [1, 2])
    seq.token_ids.append(8)
    seq.seed, seq.slot, seq.num_computed_tokens = 5, 1, 2
    seq.status, seq.block_table = SequenceStatus.RUNNING, [4]
    twin = seq.restarted()
    assert (twin.seq_id, list(twin.token_ids), twin.num_prompt_tokens) == (3, [1, 2, 8], 2)
    assert (twin.seed, twin.params) == (5, seq.params)
    assert (twin.slot, twin.num_computed_tokens, twin.block_table) == (None, 0, [])
    assert twin.status is SequenceStatus.WAITING
    twin.token_ids.append(9)
    assert list(seq.token_ids) == [1, 2, 8]
