from nanovllm_edu.core.request.sequence import SequenceStatus, TokenLogprobs
from tests.core.sequences import request


def test_claimed_tokens_count_as_tokens() -> None:
    seq = request(0, [1, 2, 3])
    seq.num_computed_tokens, seq.num_claimed = 3, 1
    assert seq.num_tokens == 4
    assert seq.num_remaining_tokens == 1


def test_only_what_is_computed_and_known_is_settled() -> None:
    seq = request(0, [1, 2, 3])
    seq.num_computed_tokens = 2
    assert seq.num_settled_computed == 2  # the newest is known and not computed
    seq.num_computed_tokens, seq.num_claimed = 5, 3
    assert seq.num_settled_computed == 3  # claimed ones are computed and not known


def test_a_table_is_the_same_tuple_until_it_changes() -> None:
    seq = request(0, [1, 2, 3])
    seq.block_table = [4, 5]
    table = seq.table()
    assert (table, seq.table() is table) == ((4, 5), True)
    seq.block_table.append(6)
    assert (seq.table(), table) == ((4, 5, 6), (4, 5))
    seq.block_table = [7, 8, 9]
    seq.forget_table()
    assert seq.table() == (7, 8, 9)


def test_output_starts_where_the_prompt_ends() -> None:
    seq = request(0, [1, 2])
    seq.token_ids.extend([8, 9])
    assert seq.output_token_ids == [8, 9]


def test_a_request_limits_its_own_length() -> None:
    assert request(0, [1, 2], max_tokens=5).max_num_tokens == 7


def test_a_restarted_sequence_keeps_its_tokens_and_nothing_else() -> None:
    seq = request(3, [1, 2])
    seq.token_ids.append(8)
    seq.seed, seq.row, seq.num_computed_tokens = 5, 1, 2
    seq.status, seq.block_table = SequenceStatus.RUNNING, [4]
    seq.token_times, seq.logprobs = [0.5], [TokenLogprobs(8, -1.0, ())]
    twin = seq.restarted()
    assert (twin.seq_id, list(twin.token_ids), twin.num_prompt_tokens) == (3, [1, 2, 8], 2)
    assert (twin.seed, twin.params) == (5, seq.params)
    assert (twin.row, twin.num_computed_tokens, twin.block_table) == (None, 0, [])
    assert twin.status is SequenceStatus.WAITING
    assert (twin.token_times, twin.logprobs) == (seq.token_times, seq.logprobs)
    twin.token_ids.append(9)
    twin.token_times.append(0.75)
    assert (list(seq.token_ids), seq.token_times) == ([1, 2, 8], [0.5])


def test_it_shows_itself_in_a_line() -> None:
    assert repr(request(7, [1, 2])) == "Sequence(seq_id=7, waiting, 2 tokens, 2 of them prompt)"
