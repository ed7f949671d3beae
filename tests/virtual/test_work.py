from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.runners.small_steps import MOST_FOR_EACH, MOST_TOKENS
from nanovllm_edu.virtual.work import TOKENS_A_PASS, Work, work_of


def work(*spans: Span) -> Work:
    return work_of(StepPlan(0, Spans(spans)))


def test_a_row_reads_what_is_before_it_and_itself():
    assert work(Span(0, 0, 7, 1), Span(1, 1, 0, 1)) == Work(1, 2, 8 + 1, 0, 0, 0, 0, 1)


def test_a_prompt_attends_to_all_pairs_up_to_each_of_its_tokens():
    pairs = sum(position + 1 for position in range(10, 13))
    assert work(Span(0, 0, 10, 3)) == Work(1, 0, 0, 1, 1, 3, pairs, 1)


def test_both_in_one_step_are_counted_apart():
    alone, beside = work(Span(0, 0, 7, 1)), work(Span(0, 0, 7, 1), Span(1, 1, 2, 4))
    prompt = work(Span(1, 1, 2, 4))
    sums = Work(*map(int.__add__, alone, prompt))
    assert beside == sums._replace(steps=1, passes=1)


def test_tokens_of_rows_and_prompts_pass_by_together():
    rows = [Span(i, i, 9, 1) for i in range(TOKENS_A_PASS)]
    assert [work().passes, work(rows[0]).passes, work(*rows).passes] == [0, 1, 1]
    assert work(*rows, Span(9, 9, 0, 3)).passes == 2
    assert work(*rows, Span(9, 9, 0, TOKENS_A_PASS + 1)).passes == 3


def test_a_step_is_large_if_no_tape_plays_it():
    """Of many tokens, or of more than a few for each that is sampled from."""
    rows = [Span(i, i, 9, 1) for i in range(MOST_TOKENS)]
    assert [work(*rows).large_steps, work(*rows, Span(99, 99, 9, 1)).large_steps] == [0, 1]
    few, many = Span(0, 0, 0, MOST_FOR_EACH), Span(0, 0, 0, MOST_FOR_EACH + 1)
    assert [work(few).large_steps, work(many).large_steps] == [0, 1]
    assert work(many, Span(1, 1, 9, 1)).large_steps == 0
    assert work(Span(0, 0, 0, 2, (), 0, False)).large_steps == 1


def test_an_empty_step_is_a_step():
    assert work() == Work(1, 0, 0, 0, 0, 0, 0)
