from nanovllm_edu.lessons.lesson_14 import speed
from tests.lessons.wrong_answers import wrong


def draw(random, weights):
    return random.choices(range(len(weights)), weights)[0]


@wrong("14.1", "keep p / q of the guesses")
def always_keeps(p, q, guess, random):
    return guess


@wrong("14.1", "every guess may stay")
def never_keeps(p, q, guess, random):
    return draw(random, p)


@wrong("14.1", "the guess gets a second chance")
def draws_from_the_whole_model(p, q, guess, random):
    return guess if random.random() < p[guess] / q[guess] else draw(random, p)


@wrong("14.1", "the guess gets a second chance")
def keeps_with_the_models_probability(p, q, guess, random):
    return guess if random.random() < p[guess] else draw(random, p)


@wrong("14.1", "every guess may stay")
def keeps_the_likeliest(p, q, guess, random):
    return (
        guess
        if p[guess] == max(p)
        else draw(random, [max(0, a - b) for a, b in zip(p, q, strict=False)])
    )


@wrong("14.1", "weigh each token with max(0, p - q)")
def draws_another_from_the_model(p, q, guess, random):
    if random.random() < p[guess] / q[guess]:
        return guess
    return draw(random, [share if token != guess else 0 for token, share in enumerate(p)])


@wrong("14.1", "is a whole number")
def says_whether(p, q, guess, random):
    return random.random() < p[guess] / q[guess]


@wrong("14.1", "is a token id from 0 to 2")
def gives_a_sentinel(p, q, guess, random):
    return guess if random.random() < p[guess] / q[guess] else -1


@wrong("14.2", "tokens on average")
def always_the_most(acceptance, guess_ms, step_ms, token_ms, most):
    return most


@wrong("14.2", "with 0 it is 1.00")
def guesses_at_least_once(acceptance, guess_ms, step_ms, token_ms, most):
    def speed(k):
        tokens = sum(acceptance**i for i in range(k + 1))
        return tokens / (k * guess_ms + step_ms + (k + 1) * token_ms)

    return max(range(1, most + 1), key=speed)


@wrong("14.2", "tokens on average")
def counts_every_right_guess(acceptance, guess_ms, step_ms, token_ms, most):
    """As if a right guess behind a wrong one counted."""
    return max(
        range(most + 1),
        key=lambda k: (1 + k * acceptance) / (k * guess_ms + step_ms + (k + 1) * token_ms),
    )


@wrong("14.2", "tokens on average")
def forgets_the_draft(acceptance, guess_ms, step_ms, token_ms, most):
    def speed(k):
        return sum(acceptance**i for i in range(k + 1)) / (step_ms + (k + 1) * token_ms)

    return max(range(most + 1), key=speed)


@wrong("14.2", "ZeroDivisionError")
def closed_form(acceptance, guess_ms, step_ms, token_ms, most):
    def speed(k):
        tokens = (1 - acceptance ** (k + 1)) / (1 - acceptance)
        return tokens / (k * guess_ms + step_ms + (k + 1) * token_ms)

    return max(range(most + 1), key=speed)


@wrong("14.2", "is from 0 (do not guess) to 8; you gave 9")
def counts_tokens_instead(acceptance, guess_ms, step_ms, token_ms, most):
    return most + 1


@wrong("14.2", "calls the shipped `speed`")
def asks_the_lesson(acceptance, guess_ms, step_ms, token_ms, most):
    costs = acceptance, guess_ms, step_ms, token_ms, most
    return max(range(most + 1), key=lambda k: speed(k, costs))
