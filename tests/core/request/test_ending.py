from typing import Any

import pytest

from nanovllm_edu.core.request.ending import ending_of
from tests.core.steps import add, scheduler, step


def test_an_end_of_sequence_token_finishes_unless_ignored() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    add(engine, [1])
    add(engine, [2], ignore_eos=True)
    result = step(engine, token_id=5)[1]
    assert result.finished == {0: "stop"}
    assert list(engine.running) == [1]


def test_stop_token_ids_and_lengths_finish() -> None:
    engine = scheduler(max_model_len=4)
    add(engine, [1], stop_token_ids=(99,))
    add(engine, [2], max_tokens=1)
    add(engine, [3, 3, 3])
    add(engine, [4])
    assert step(engine)[1].finished == {0: "stop", 1: "length", 2: "length"}


@pytest.mark.parametrize(
    ("params", "token_id", "ending"),
    [
        ({}, 7, None),
        ({}, 5, ("stop", "token 5 means end of sequence")),
        ({"ignore_eos": True}, 5, None),
        ({"stop_token_ids": (7,)}, 7, ("stop", "token 7 is one of its stop_token_ids")),
        ({"stop": ("END",)}, 7, ("stop", "its text contains the stop string 'END'")),
        ({"max_tokens": 1}, 7, ("length", "max_tokens=1 reached")),
        ({"max_tokens": 2}, 7, None),
        ({"max_tokens": None}, 7, None),
        ({"min_tokens": 1}, 5, None),
        ({"min_tokens": 1, "stop_token_ids": (7,)}, 7, None),
        ({"min_tokens": 1, "max_tokens": 1}, 5, ("length", "max_tokens=1 reached")),
    ],
)
def test_an_ending_says_what_it_was(params: Any, token_id: int, ending: Any) -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    seq = add(engine, [1, 2], **params)[0]
    assert ending_of(seq, token_id, lambda seq, token_id: "END") == ending


def test_a_sequence_ends_where_the_model_does() -> None:
    seq = add(scheduler(max_model_len=3), [1, 2])[0]
    assert ending_of(seq, 7, None) == ("length", "max_model_len=3 reached")


def test_without_max_tokens_a_sequence_goes_on_to_the_end_of_the_model() -> None:
    seq = add(scheduler(max_model_len=4), [1, 2], max_tokens=None)[0]
    assert seq.max_num_tokens == 4
    assert ending_of(seq, 7, None) is None
    seq.token_ids.append(7)
    assert ending_of(seq, 7, None) == ("length", "max_model_len=4 reached")


def test_an_end_counts_from_the_token_after_min_tokens_on() -> None:
    seq = add(scheduler(eos_token_ids=frozenset({5})), [1], min_tokens=2)[0]
    for _ in range(2):
        assert ending_of(seq, 5, None) is None
        seq.token_ids.append(5)
    assert ending_of(seq, 5, None) == ("stop", "token 5 means end of sequence")
