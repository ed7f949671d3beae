from statistics import mean

from tests.lessons.wrong_answers import wrong


@wrong("17.1", "counts one decode step too many")
def a_step_for_every_token(num_prompt_tokens, num_output_tokens):
    return sum(num_prompt_tokens + i for i in range(1, num_output_tokens + 1))


@wrong("17.1", "its own included")
def without_its_own(num_prompt_tokens, num_output_tokens):
    return sum(num_prompt_tokens + i for i in range(num_output_tokens - 1))


@wrong("17.1", "is a whole number")
def mean_context_of_all_tokens(num_prompt_tokens, num_output_tokens):
    return (num_prompt_tokens + (num_output_tokens + 0.5) / 2) * (num_output_tokens - 1)


@wrong("17.1", "each reads all tokens that are there")
def only_the_answer(num_prompt_tokens, num_output_tokens):
    return sum(range(1, num_output_tokens))


@wrong("17.2", "Within 5% will do")
def every_step_is_the_mean(samples):
    return mean(s for *_, s in samples), 0.0, 0.0


@wrong("17.2", "Give three constants")
def without_a_constant(samples):
    total = sum(s for *_, s in samples)
    return total / sum(rows for rows, *_ in samples), 0.0


@wrong("17.2", "nothing takes less than no time")
def a_negative_one(samples):
    return 3e-3, -1e-5, 1e-7


@wrong("17.2", "is a list; you gave")
def one_number(samples):
    return mean(s for *_, s in samples)
