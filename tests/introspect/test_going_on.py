"""Who goes on is said in few words, and a page that spells them out has every span again."""

import pytest

from nanovllm_edu.core.plan import Span, Spans
from nanovllm_edu.introspect.going_on import going_on
from nanovllm_edu.introspect.view import encode_view
from tests.introspect.workload import play

BEFORE = Spans([Span(0, 0, 7, 1), Span(1, 1, 0, 5), Span(2, 2, 30, 1)])
TOKENS = [Span(0, 0, 8, 1), Span(1, 1, 5, 1), Span(2, 2, 31, 1)]


def test_everybody_goes_on():
    assert going_on(BEFORE, Spans(TOKENS)) == ((), (0, 1, 2))


def test_who_left_is_named_and_who_came_is_behind():
    now = Spans([TOKENS[0], TOKENS[2], Span(3, 1, 0, 9)])
    assert going_on(BEFORE, now) == ([1], (0, 2))


@pytest.mark.parametrize(
    "changed",
    [
        {"start": 6},  # tokens are computed again
        {"num_tokens": 2},
        {"num_tokens": 2, "given": (5, 6), "num_drafted": 1},
        {"is_sampled": False},
    ],
)
def test_whoever_does_something_else_does_not_go_on_nor_do_those_behind(changed):
    now = Spans([TOKENS[0], TOKENS[1]._replace(**changed), TOKENS[2]])
    assert going_on(BEFORE, now) == ([1, 2], (0,))


def test_another_order_is_told_in_full():
    assert going_on(BEFORE, Spans(TOKENS[::-1])) == ([0, 1, 2], ())
    assert going_on(Spans(), Spans(TOKENS)) == ([], ())


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"depth": 2, "fail_at": (9, 17)}])
def test_spelt_out_every_step_has_its_spans_and_tokens(options):
    """As `viewer/js/going_on.js` does it; a browser does it in `test_consumers.py`."""
    num_short = 0
    for seed in range(6):
        recording = play(seed, **options).recorder.recording
        steps = [entry for entry in encode_view(recording)["journal"] if "step" in entry]
        before: list[tuple[int, ...]] = []
        for record, entry in zip(recording, steps, strict=True):
            spans = [tuple(entry["spans"][i : i + 5]) for i in range(0, len(entry["spans"]), 5)]
            tokens = {seq_id: tuple(ids) for seq_id, _, *ids in entry.get("tokens", ())}
            if "on" in entry:
                num_short += 1
                stay = [span for span in before if span[0] not in entry["on"]]
                spans = [(i, start + num, 1, 2, 1) for i, start, num, *_ in stay] + spans
                given = zip(stay, entry["given"], strict=True)
                tokens |= {span[0]: (token,) for span, token in given}
            assert [span[:3] for span in spans] == [
                (span.seq_id, span.start, span.num_tokens) for span in record.spans
            ]
            assert tokens == dict(record.new_tokens)
            before = spans
    assert num_short > 20
