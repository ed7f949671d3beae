"""What a picture's words say is what the records say."""

from nanovllm_edu.lessons.checks import checksum_engine, finish, greedy
from nanovllm_edu.lessons.words import (
    bars_in_words,
    pool_in_words,
    series_in_words,
    timeline_in_words,
)


def test_a_timeline_is_told_by_stretches():
    engine = checksum_engine(num_blocks=16, max_num_seqs=1)
    for _ in range(2):
        engine.add_request([1, 2, 3], greedy(4))
    assert timeline_in_words(finish(engine), ("first", "second")) == (
        "first: 3 tokens of prefill in step 0, decode in steps 1 to 3; "
        "second: waits in steps 0 to 3, 3 tokens of prefill in step 4, decode in steps 5 to 7"
    )


def test_of_many_sequences_some_are_told():
    engine = checksum_engine(num_blocks=64)
    for number in range(9):
        engine.add_request([1, 2, number], greedy(1))
    words = timeline_in_words(finish(engine))
    assert words.startswith("seq 0: 3 tokens of prefill in step 0; seq 1:")
    assert words.endswith("seq 5: 3 tokens of prefill in step 0; and 3 more sequences")


def test_a_pool_is_counted():
    engine = checksum_engine(num_blocks=8)
    for tail in (5, 6):
        engine.add_request([1, 2, 3, 4, tail], greedy(3))
    engine.step()
    expected = "8 blocks: 2 used by seq 0, 2 used by seq 1, 1 of them shared, 0 cached, 5 free"
    assert pool_in_words(engine.state()) == expected


def test_bars_and_lines_are_read_out():
    assert bars_in_words(("a", "b"), {"T = 1": ("0.5", "–")}) == "T = 1: a 0.5, b –"
    assert series_in_words((1, 2, 4), {"up": (1, 2, 3)}) == "up: from 1 at 1 to 3 at 4"
    assert series_in_words((1, 2), {"many": (1, 2871.4)}).endswith("to 2,871 at 2")
    peak = series_in_words((1, 2, 4), {"hill": (1, 5, 3)})
    assert peak == "hill: from 1 at 1 to 3 at 4, highest 5 at 2"
