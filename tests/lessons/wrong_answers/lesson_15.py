from nanovllm_edu.lessons.masking import Choices
from tests.lessons.wrong_answers import wrong


def rests_of(choices, said):
    return [choice[len(said) :] for choice in choices if choice.startswith(said)]


@wrong("15.1", "the end token 1 is missing")
def never_ends(choices, said, vocabulary, end):
    return [t for t, x in vocabulary.items() if any(c.startswith(said + x) for c in choices)]


@wrong("15.1", "the end token 1 is missing")
def ends_only_where_nothing_follows(choices, said, vocabulary, end):
    return never_ends(choices, said, vocabulary, end) or [end]


@wrong("15.1", "which is none of the choices")
def may_always_end(choices, said, vocabulary, end):
    return [*never_ends(choices, said, vocabulary, end), end]


@wrong("15.1", "All letters of a token must fit")
def looks_at_the_first_letter(choices, said, vocabulary, end):
    able = [t for t, x in vocabulary.items() if any(r[:1] == x[0] for r in rests_of(choices, said))]
    return [*able, end] if said in choices else able


@wrong("15.1", "a token may be one letter or many")
def letters_alone(choices, said, vocabulary, end):
    able = [t for t, x in vocabulary.items() if x in {r[:1] for r in rests_of(choices, said)}]
    return [*able, end] if said in choices else able


@wrong("15.1", "you forbid 2 ('b')")
def whole_rests_alone(choices, said, vocabulary, end):
    able = [t for t, text in vocabulary.items() if text in rests_of(choices, said)]
    return [*able, end] if said in choices else able


@wrong("15.1", "is a whole number")
def gives_texts(choices, said, vocabulary, end):
    return [vocabulary[t] for t in never_ends(choices, said, vocabulary, end)]


@wrong("15.1", "calls the shipped `allowed`")
def asks_the_lessons_machine(choices, said, vocabulary, end):
    by_letter = {ord(letter): letter for letter in said}
    return Choices(choices, {**vocabulary, **by_letter}, end).allowed(list(by_letter))


@wrong("15.2", "you give 3 masks")
def one_for_each_guess(allowed, said, guesses):
    return [allowed([*said, *guesses[:i]]) for i in range(len(guesses))]


@wrong("15.2", "mask 1 is the one of the place before")
def lags_by_a_token(allowed, said, guesses):
    rows = [allowed(said)]
    for i, guess in enumerate(guesses):
        rows.append(allowed([*said, *guesses[:i]]) if guess in rows[-1] else [])
    return rows


@wrong("15.2", "that cannot be said")
def asks_about_everything(allowed, said, guesses):
    return [allowed([*said, *guesses[:i]]) for i in range(len(guesses) + 1)]


@wrong("15.2", "that cannot be said")
def trusts_the_last_mask(allowed, said, guesses):
    rows = [allowed(said)]
    for guess in guesses:
        said = [*said, guess]
        rows.append(allowed(said) if guess in rows[-1] else rows[-1])
    return rows


@wrong("15.2", "that cannot be said")
def forgets_what_was_said(allowed, said, guesses):
    rows = [allowed(said)]
    for i in range(len(guesses)):
        rows.append(allowed(guesses[: i + 1]) if guesses[i] in rows[-1] else [])
    return rows


@wrong("15.2", "so nothing is kept there: []")
def keeps_the_last_mask(allowed, said, guesses):
    rows, is_over = [allowed(said)], False
    for guess in guesses:
        is_over = is_over or guess not in rows[-1]
        said = [*said, guess]
        rows.append(rows[-1] if is_over else allowed(said))
    return rows
