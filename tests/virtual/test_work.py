from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.virtual.work import Work, work_of


def work(*spans: Span) -> Work:
    return work_of(StepPlan(0, Spans(spans)))


def test_a_row_reads_what_is_before_it_and_itself():
    assert work(Span(0, 0, 7, 1), Span(1, 1, 0, 1)) == Work(1, 2, 8 + 1, 0, 0, 0, 0)


def test_a_prompt_attends_to_all_pairs_up_to_each_of_its_tokens():
    pairs = sum(position + 1 for position in range(10, 13))
    assert work(Span(0, 0, 10, 3)) == Work(1, 0, 0, 1, 1, 3, pairs)


def test_both_in_one_step_are_counted_apart():
    alone, beside = work(Span(0, 0, 7, 1)), work(Span(0, 0, 7, 1), Span(1, 1, 2, 4))
    prompt = work(Span(1, 1, 2, 4))
    assert beside == (1, *(a + b for a, b in zip(alone[1:], prompt[1:], strict=True)))


def test_an_empty_step_is_a_step():
    assert work() == Work(1, 0, 0, 0, 0, 0, 0)
