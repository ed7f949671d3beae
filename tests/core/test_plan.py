import json
from dataclasses import FrozenInstanceError

import pytest

from nanovllm_edu.core.events import Finished, Preempted
from nanovllm_edu.core.plan import Blocked, Span, Spans, StepOutput, StepPlan

PREFILL = Span(7, 1, 4, 3, is_sampled=False)
DECODE = Span(8, 0, 9, 1)
VERIFY = Span(9, 2, 5, 3, (1, 2, 3), 2)
ALL = (PREFILL, DECODE, VERIFY)


def test_a_span_ends_where_its_tokens_do() -> None:
    assert [span.end for span in ALL] == [7, 10, 8]


def test_a_span_claims_a_token_for_each_guess_and_one_more_if_it_is_sampled_from() -> None:
    assert [span.num_claimed for span in ALL] == [0, 1, 3]
    assert [span.drafted for span in ALL] == [(), (), (2, 3)]


# ---------------------------------------------------------------------------------- Spans


def test_spans_come_out_as_they_went_in() -> None:
    spans = Spans(ALL)
    assert (len(spans), tuple(spans), list(reversed(spans))) == (3, ALL, list(ALL[::-1]))
    assert all(type(span) is Span for span in spans)
    assert (spans[0], spans[-1], spans[1:], spans[:0]) == (PREFILL, VERIFY, ALL[1:], ())
    assert type(spans[0]) is Span
    assert VERIFY in spans
    assert spans.index(DECODE) == 1


def test_plain_tuples_make_the_same_spans() -> None:
    assert Spans([tuple(span) for span in ALL]) == Spans(ALL)
    assert Spans(iter(ALL)) == Spans(ALL)


def test_each_field_is_a_column_under_its_own_name() -> None:
    spans = Spans(ALL)
    columns = {
        "seq_ids": (7, 8, 9),
        "rows": (1, 0, 2),
        "starts": (4, 9, 5),
        "nums_of_tokens": (3, 1, 3),
        "givens": ((), (), (1, 2, 3)),
        "nums_drafted": (0, 0, 2),
        "are_sampled": (False, True, True),
    }
    assert {name: getattr(spans, name) for name in columns} == columns
    assert spans.columns == tuple(columns.values())
    assert len(columns) == len(Span._fields)
    assert spans.sampled == (DECODE, VERIFY)


def test_no_spans_have_every_column() -> None:
    none = Spans()
    assert (len(none), tuple(none), bool(none), repr(none)) == (0, (), False, "()")
    assert none == Spans([]) == ()
    assert (none.seq_ids, none.are_sampled, none.sampled) == ((), (), ())
    with pytest.raises(IndexError):
        none[0]


def test_spans_equal_what_holds_the_same_spans_and_nothing_else() -> None:
    spans = Spans(ALL)
    assert spans == Spans(list(ALL))
    assert spans == ALL
    assert spans == ALL  # asked from the tuple's side
    assert hash(spans) == hash(Spans(ALL))
    for other in (Spans(ALL[:2]), ALL[::-1], [*ALL], 5, Spans((*ALL[:2], VERIFY._replace(row=0)))):
        assert spans != other
    assert repr(spans) == repr(ALL)


def test_spans_hold_no_object_of_their_own_for_a_span() -> None:
    assert not hasattr(Spans(ALL), "__dict__")
    with pytest.raises(TypeError):
        Spans(ALL)[0] = DECODE  # type: ignore[index]


def test_spans_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Spans([tuple(PREFILL), (1, 2)])


# ----------------------------------------------------------------------- plan and output


def test_a_plan_counts_its_tokens_and_knows_who_had_to_go() -> None:
    events = (Preempted(3, 7, 4, 1, "no room"), Finished(4, "length", 3, "it is over"))
    plan = StepPlan(0, Spans(ALL), events=events)
    assert (plan.num_tokens, plan.preempted) == (7, (3,))


def test_a_plan_without_anything_says_nothing() -> None:
    plan = StepPlan(5)
    assert (plan.num_tokens, plan.spans, plan.blocked) == (0, (), None)
    assert plan.joined == plan.left == plan.sampling_updates == plan.block_updates == ()
    assert plan.copies == plan.events == ()


@pytest.mark.parametrize("value", [StepPlan(0), StepOutput({}), Blocked(0, "rows", 1, 0, "x")])
def test_what_is_planned_and_given_back_is_frozen(value: object) -> None:
    name = next(iter(type(value).__dataclass_fields__))  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 3)
    assert not hasattr(value, "__dict__")


def test_two_outputs_share_nothing() -> None:
    one, other = StepOutput({}), StepOutput({})
    assert one.timings is not other.timings
    assert one.errors is not other.errors
    assert one.logprobs is not other.logprobs


def test_blocked_says_who_waits_for_what() -> None:
    blocked = Blocked(3, "blocks", 5, 2, "it needs 5 blocks, and 2 are free")
    assert blocked.why == "seq 3 waits: it needs 5 blocks, and 2 are free"
    assert json.loads(json.dumps(blocked.to_dict()))["needed"] == 5
