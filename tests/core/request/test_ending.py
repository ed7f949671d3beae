from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from nanovllm_edu.core.request.ending import settle
from nanovllm_edu.core.request.sequence import Sequence
from tests.core.grammars import ToyGrammar
from tests.core.steps import Guesses, add, commit, scheduler, step


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


def ended(seq: Sequence, tokens: tuple[int, ...]) -> Any:
    """What is settled, and the reason and detail of the ending."""
    kept, ending = settle(seq, tokens)
    return kept, ending and ending[:2]


class End(NamedTuple):
    num_tokens: int
    stop: str | None


class Says:
    """A judge that gives these answers, and remembers what it was given."""

    def __init__(self, *answers: End | Exception | None) -> None:
        self.answers = list(answers)
        self.given: list[tuple[int, ...]] = []

    def add(self, token_ids: Iterable[int]) -> End | None:
        self.given.append(tuple(token_ids))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("params", "tokens", "kept", "ending"),
    [
        ({}, (7,), (7,), None),
        ({}, (7, 8, 9), (7, 8, 9), None),
        ({}, (5,), (5,), ("stop", "token 5 means end of sequence")),
        ({}, (7, 5, 8), (7, 5), ("stop", "token 5 means end of sequence")),
        ({"ignore_eos": True}, (5, 7), (5, 7), None),
        ({"stop_token_ids": (7,)}, (7,), (7,), ("stop", "token 7 is one of its stop_token_ids")),
        ({"stop_token_ids": (7, 5)}, (5,), (5,), ("stop", "token 5 is one of its stop_token_ids")),
        ({"max_tokens": 1}, (7,), (7,), ("length", "max_tokens=1 reached")),
        ({"max_tokens": 2}, (7,), (7,), None),
        ({"max_tokens": 2}, (7, 8, 9), (7, 8), ("length", "max_tokens=2 reached")),
        ({"max_tokens": 2}, (7, 5, 9), (7, 5), ("stop", "token 5 means end of sequence")),
        ({"max_tokens": 2}, (7, 8, 5), (7, 8), ("length", "max_tokens=2 reached")),
        ({"max_tokens": None}, (7,), (7,), None),
        ({"min_tokens": 1}, (5,), (5,), None),
        ({"min_tokens": 1}, (5, 5, 7), (5, 5), ("stop", "token 5 means end of sequence")),
        ({"min_tokens": 1, "stop_token_ids": (7,)}, (7,), (7,), None),
        ({"min_tokens": 1, "max_tokens": 1}, (5,), (5,), ("length", "max_tokens=1 reached")),
    ],
)
def test_an_ending_says_what_it_was_and_what_comes_after_it_is_nobodys(
    params: Any, tokens: tuple[int, ...], kept: tuple[int, ...], ending: Any
) -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    seq = add(engine, [1, 2], **params)[0]
    assert ended(seq, tokens) == (kept, ending)


def test_a_sequence_ends_where_the_model_does() -> None:
    seq = add(scheduler(max_model_len=3), [1, 2])[0]
    assert ended(seq, (7,)) == ((7,), ("length", "max_model_len=3 reached"))
    assert ended(seq, (7, 8)) == ((7,), ("length", "max_model_len=3 reached"))


@pytest.mark.parametrize(
    ("answer", "kept", "ending"),
    [
        (None, (7, 8), None),
        (End(1, "END"), (7,), ("stop", "its text contains the stop string 'END'")),
        (End(2, "END"), (7, 8), ("stop", "its text contains the stop string 'END'")),
        (End(2, None), (7, 8), ("stop", "token 8 means end of sequence")),
        (
            ArithmeticError("no text"),
            (7, 8),
            ("error", "its text failed: ArithmeticError: no text"),
        ),
    ],
)
def test_a_judge_is_asked_with_the_tokens_that_fit(
    answer: Any, kept: tuple[int, ...], ending: Any
) -> None:
    seq = add(scheduler(), [1, 2])[0]
    seq.judge = judge = Says(answer)
    assert ended(seq, (7, 8)) == (kept, ending)
    assert judge.given == [(7, 8)]


def test_a_judge_never_sees_what_is_too_long_and_length_ends_what_it_lets_pass() -> None:
    seq = add(scheduler(), [1, 2], max_tokens=2)[0]
    seq.judge = judge = Says(None)
    assert ended(seq, (7, 8, 9)) == ((7, 8), ("length", "max_tokens=2 reached"))
    assert judge.given == [(7, 8)]


def test_a_judge_that_raises_ends_its_own_sequence_and_no_other() -> None:
    engine = scheduler()
    first, second = add(engine, [1], [2])
    first.judge = Says(ArithmeticError("no such text"))
    settled = step(engine)[1]
    assert settled.finished == {0: "error"}
    assert settled.new_tokens == {0: (99,), 1: (99,)}
    assert "ArithmeticError: no such text" in first.finish_detail
    assert list(engine.running) == [second.seq_id]


def test_an_ending_among_guesses_that_came_true_drops_the_rest() -> None:
    engine = scheduler(eos_token_ids=frozenset({5}), draft_proposer=Guesses(4, 5, 6))
    seq = add(engine, [1])[0]
    step(engine)
    settled = commit(engine, engine.plan(), {0: (4, 5, 6, 7)})
    assert (settled.new_tokens, settled.finished) == ({0: (4, 5)}, {0: "stop"})
    assert seq.output_token_ids == [99, 4, 5]
    assert engine.block_manager.num_free_blocks == 16


def test_without_max_tokens_a_sequence_goes_on_to_the_end_of_the_model() -> None:
    seq = add(scheduler(max_model_len=4), [1, 2], max_tokens=None)[0]
    assert seq.max_num_tokens == 4
    assert settle(seq, (7,)) == ((7,), None)
    assert ended(seq, (7, 7)) == ((7, 7), ("length", "max_model_len=4 reached"))


def test_an_end_counts_from_the_token_after_min_tokens_on() -> None:
    seq = add(scheduler(eos_token_ids=frozenset({5})), [1], min_tokens=2)[0]
    for _ in range(2):
        assert settle(seq, (5,)) == ((5,), None)
        seq.token_ids.append(5)
    assert ended(seq, (5,)) == ((5,), ("stop", "token 5 means end of sequence"))


@pytest.mark.parametrize(
    ("token_id", "stop_reason"), [(5, None), (7, 7)], ids=["end of sequence", "stop_token_ids"]
)
def test_a_stop_reason_is_what_the_request_asked_for(token_id: int, stop_reason: Any) -> None:
    seq = add(scheduler(eos_token_ids=frozenset({5})), [1], stop_token_ids=(7,))[0]
    ending = settle(seq, (token_id,))[1]
    assert ending is not None
    assert ending.stop_reason == stop_reason


@pytest.mark.parametrize(
    ("params", "tokens", "kept", "ending"),
    [
        ({}, (1, 3), (1, 3), None),
        ({}, (1, 3, 5), (1, 3, 5), ("stop", "token 5 means end of sequence")),
        ({"ignore_eos": True}, (1, 3, 5), (1, 3, 5), ("stop", "its grammar is complete")),
        ({}, (1, 3, 3, 3, 3, 3, 3, 8), (1, 3, 3, 3, 3, 3, 3), ("stop", "its grammar is complete")),
        ({}, (1, 5), (1,), ("error", "no token is left that its grammar and its other options")),
        ({}, (3,), (), ("error", "no token is left that its grammar and its other options allow")),
        ({"max_tokens": 2}, (1, 3, 7, 7), (1, 3), ("length", "max_tokens=2 reached")),
        ({}, (1, 3, 3, 3, 3, 3, 3), (1, 3, 3, 3, 3, 3, 3), ("stop", "its grammar is complete")),
    ],
)
def test_a_grammar_ends_what_is_complete_and_what_it_forbids(
    params: Any, tokens: tuple[int, ...], kept: tuple[int, ...], ending: Any
) -> None:
    engine = scheduler(eos_token_ids=frozenset({5}))
    seq = add(engine, [1, 2], **params)[0]
    seq.grammar = ToyGrammar(9, frozenset({5}))
    got, said = ended(seq, tokens)
    assert got == kept
    assert said == ending or (said[0] == ending[0] and said[1].startswith(ending[1]))


def test_a_judge_sees_only_what_the_grammar_allows() -> None:
    seq = add(scheduler(), [1, 2])[0]
    seq.grammar, seq.judge = ToyGrammar(9), Says(End(1, "END"))
    assert ended(seq, (1, 3, 9)) == ((1,), ("stop", "its text contains the stop string 'END'"))
    assert seq.judge.given == [(1, 3)]
