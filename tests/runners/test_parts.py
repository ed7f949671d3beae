"""Which graph takes which span of a step: decided on the host, without a GPU."""

import numpy as np
import pytest

from nanovllm_edu import SamplingParams
from nanovllm_edu.core.plan import Joined, Span, Spans, StepPlan
from nanovllm_edu.paged.layout import Layout
from nanovllm_edu.runners.parts import Parts, parts_of
from nanovllm_edu.runners.prefill_graphs import LARGEST, max_rows, padded, size_for, sizes

DECODE, LONG = Span(0, 0, 5, 1), Span(1, 1, 900, 1)
CHUNK, GUESSES = Span(2, 2, 0, 70), Span(3, 3, 8, 4, (1, 2, 3, 4), 3)
INNER = Span(4, 4, 20, 1, is_sampled=False)


def parts(*spans, joined=(), longest_rider=100):
    news = tuple(Joined(row, row, (1,), 1, SamplingParams(), 0) for row in joined)
    return parts_of(StepPlan(0, Spans(spans), news), longest_rider)


@pytest.mark.parametrize(
    ("spans", "decode", "prefill"),
    [
        ([DECODE, LONG], [DECODE, LONG], []),
        ([CHUNK], [], [CHUNK]),
        ([INNER], [], [INNER]),
        ([GUESSES, DECODE], [], [GUESSES, DECODE]),
        ([DECODE, CHUNK], [], [DECODE, CHUNK]),
        ([DECODE, LONG, CHUNK], [DECODE, LONG], [CHUNK]),
        ([LONG, GUESSES, DECODE], [LONG, DECODE], [GUESSES]),
    ],
)
def test_short_rows_ride_along_and_long_ones_are_replayed_apart(spans, decode, prefill):
    assert parts(*spans) == Parts(Spans(decode), Spans(prefill))


def test_who_joins_with_one_token_is_computed_after_what_it_may_have_found():
    both = parts(DECODE, LONG, joined=[1], longest_rider=0)
    assert both == Parts(Spans([DECODE]), Spans([LONG]))
    assert parts(DECODE, LONG, joined=[0]) == Parts(Spans([LONG]), Spans([DECODE]))


def test_nothing_and_too_much_are_for_the_eager_runner():
    assert parts() is None
    assert parts(Span(0, 0, 0, LARGEST + 1)) is None
    assert parts(*(Span(i, i, 0, 9) for i in range(257))) is None
    many = [Span(i, i, 5, 1) for i in range(300)]
    assert parts(*many, CHUNK._replace(row=300)) == Parts(
        Spans(many), Spans([CHUNK._replace(row=300)])
    )


def test_sizes_waste_at_most_a_fifth_and_end_where_a_step_does():
    assert sizes(2048)[-1] == 2048
    assert sizes(100) == (64, 128)
    assert sizes(10**6)[-1] == LARGEST
    for num_tokens in range(1, LARGEST, 37):
        size = size_for(Spans([Span(0, 0, 0, num_tokens)]))
        assert num_tokens <= size <= max(num_tokens + 64, 1.25 * num_tokens)


def test_the_rows_of_a_small_step_may_all_be_guesses():
    spans = Spans(Span(i, i, 9, 5, (1,) * 5, 4) for i in range(16))
    assert size_for(spans) == 128
    assert max_rows(128) >= 16 * 5


def test_many_rows_that_ride_along_need_no_graph_of_many_more_tokens():
    riders = [Span(i, i, 50, 1) for i in range(200)]
    for num_tokens in (300, 512, 2000):
        chunk = Span(200, 200, 0, num_tokens)
        assert size_for(Spans([*riders, chunk])) <= 1.25 * (200 + num_tokens)


def test_padding_belongs_to_nobody():
    spans = Spans([Span(7, 3, 10, 2), Span(8, 1, 30, 1), Span(9, 0, 4, 3, is_sampled=False)])
    packed = padded(spans, 64, padding_row=9)
    rows = max_rows(64)
    lengths = [64, 64, rows + 1, rows + 2, rows + 1, rows, rows, rows]
    layout = Layout(*np.split(packed, np.cumsum(lengths)[:-1]))
    assert layout.token_rows[:7].tolist() == [3, 3, 1, 0, 0, 0, 9]
    assert layout.positions[:7].tolist() == [10, 11, 30, 4, 5, 6, 0]
    assert layout.rows[:5].tolist() == [3, 1, 0, 9, 9]
    assert layout.query_starts[:6].tolist() == [0, 2, 3, 6, 64, 64]
    assert layout.context_lens[:5].tolist() == [12, 31, 7, 0, 0]
    assert layout.logit_rows[:3].tolist() == [1, 2, 0]
    assert layout.sampled_rows[:3].tolist() == [3, 1, 9]
    assert layout.sampled_positions[:3].tolist() == [12, 31, 0]
    assert set(layout.token_rows[6:]) == {9}
