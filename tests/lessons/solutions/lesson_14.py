"""Solutions of lesson 14, several tokens a step."""


def keep_or_draw(p, q, guess, random):
    """The token that is settled where the draft guessed `guess`."""
    if random.random() < p[guess] / q[guess]:
        return guess
    missing = [max(0.0, wanted - guessed) for wanted, guessed in zip(p, q, strict=True)]
    return random.choices(range(len(p)), missing)[0]


def num_guesses(acceptance, guess_ms, step_ms, token_ms, most):
    """How many guesses a step settle the most tokens per millisecond."""

    def speed(k):
        tokens = sum(acceptance**i for i in range(k + 1))
        return tokens / (k * guess_ms + step_ms + (k + 1) * token_ms)

    return max(range(most + 1), key=speed)
