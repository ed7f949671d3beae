"""Solutions of lesson 15, only what is allowed."""


def allowed(choices, said, vocabulary, end):
    """The token ids that may come next."""
    able = [
        token
        for token, text in vocabulary.items()
        if any(choice.startswith(said + text) for choice in choices)
    ]
    return [*able, end] if said in choices else able


def masks(allowed, said, guesses):
    """A mask for each guess, and one for the place behind the last."""
    rows = [allowed(said)]
    for guess in guesses:
        said = [*said, guess]
        rows.append(allowed(said) if guess in rows[-1] else [])
    return rows
