import pytest

from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.serving import Answer
from nanovllm_edu.virtual.summary import Summary


def test_the_figures_of_two_answers():
    answers = [
        Answer(Arrival(1.0, [1], 3), [1.5, 1.75, 2.5], 2.5, "length"),
        Answer(Arrival(2.0, [1], 1), [2.1], 2.1, "length"),
    ]
    summary = Summary.of(iter(answers))
    assert summary.num_answers == 2
    assert summary.mean_tpot == 0.5  # of the one that has a second token
    assert summary.tokens_per_second == pytest.approx(4 / 1.5)
    assert summary.ttft(0.99) == 0.5
    assert "2 answers, 4 tokens in 1.50 s" in repr(summary)
