"""Exercises of lesson 15, only what is allowed: a mask for a token, masks for a guessed span."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.lessons.checks import items, members, require, whole_numbers
from nanovllm_edu.lessons.exercise import Exercise, Wrong
from nanovllm_edu.lessons.masking import (
    Allowed,
    Choices,
    Masks,
    texts_of_tokens,
    write,
    write_guessing,
)
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.llm import LLM

VOCABULARY = {
    2: "b", 3: "a", 4: "n", 5: "ba", 6: "na", 7: "an", 8: "banana", 9: "band", 10: "d", 11: " a",
    12: "nd", 13: "s",
}  # fmt: skip
"""Small enough to go through by hand; 1 ends an answer."""
END = 1
QUESTION = "Who bakes bread in Willow Bay?"
ANSWERS = ["the baker", "the beekeeper", "nobody"]


def _ids(got: Any, what: str) -> set[int]:
    """Token ids, in any order."""
    return set(whole_numbers(members(got, what), what))


def _named(ids: set[int], vocabulary: Mapping[int, str]) -> str:
    """Tokens with their text, for a message."""
    named = [f"{i} ({'the end' if i == END else repr(vocabulary.get(i))})" for i in sorted(ids)]
    return ", ".join(named[:6]) + (" and others" if len(named) > 6 else "")


# --------------------------------------------------------------------------- 15.1 what may come

AllowedTokens = Callable[[list[str], str, Mapping[int, str], int], Any]

CASES = (
    (["banana", "band"], ""),
    (["banana", "band"], "ban"),
    (["banana", "band"], "banana"),
    (["band", "bands"], "band"),
    (["a", "ab"], "a"),
    (["band"], "b"),
)
"""(choices, what was said)."""


def _random_case(random: Random) -> tuple[list[str], str]:
    choices = ["".join(random.choices("ban", k=random.randint(2, 6))) for _ in range(3)]
    choice = random.choice(choices)
    return choices, choice[: random.randint(0, len(choice))]


def _check_allowed(allowed: AllowedTokens, random: Random) -> str:
    fresh = [_random_case(random) for _ in range(6)]
    for choices, said in (*CASES, *fresh):
        call = f"allowed({choices}, {said!r}, vocabulary, end)"
        got = _ids(allowed(list(choices), said, dict(VOCABULARY), END), call)
        _compare(call, got, choices, said)
    told = [_told_with(allowed, random.randrange(1000)) for _ in range(2)]
    return (
        f"{len(CASES) + len(fresh)} masks are right, and under yours the model in the box says "
        f"{told[0]!r} and {told[1]!r}."
    )


def _compare(call: str, got: set[int], choices: list[str], said: str) -> None:
    rest = [choice[len(said) :] for choice in choices if choice.startswith(said)]
    able = {t for t, text in VOCABULARY.items() if any(r.startswith(text) for r in rest)}
    want = able | ({END} if "" in rest else set())
    require(
        END not in want or END in got,
        f"{call}: {said!r} is a whole answer, so it may end here: the end token {END} is missing.",
    )
    require(
        END not in got or END in want,
        f"{call}: the end token {END} would end the answer at {said!r}, which is none of the "
        "choices.",
    )
    require(
        want <= got,
        f"{call}: you forbid {_named(want - got, VOCABULARY)}. Said after {said!r}, it begins one "
        "of the choices or is the rest of one: a token may be one letter or many.",
    )
    require(
        got <= want,
        f"{call}: you allow {_named(got - want, VOCABULARY)}, but {said!r} with it is not how one "
        "of the choices begins. All letters of a token must fit, not its first one alone.",
    )


def _told_with(allowed: AllowedTokens, seed: int) -> str:
    """What the model in the box answers when the learner's masks are set after each step."""
    with LLM(num_blocks=16) as llm:
        machine, prompt = _asked_of(llm)

        def mask(said: list[int]) -> list[int]:
            text, vocabulary = llm.tokenizer.decode(said), dict(machine.vocabulary)
            got = allowed(list(ANSWERS), text, vocabulary, machine.end)
            return sorted(_ids(got, f"allowed({ANSWERS}, {text!r}, vocabulary, end)"))

        params = SamplingParams(seed=seed, max_tokens=12)
        told = llm.tokenizer.decode(write(llm, prompt, mask, params))
    require(
        told in ANSWERS,
        f"Under your masks the model in the box says {told!r}, which is none of {ANSWERS}.",
    )
    return told


ALLOWED = Exercise(
    "15.1",
    "What may come next?",
    "allowed",
    "easy",
    (
        "A token may come if what was said, with its text behind it, is how one of the choices "
        "begins. When may the answer end?",
        "Go through vocabulary.items() and ask choice.startswith(said + text) of every choice. "
        "Add `end` if what was said is one of the choices, even if another one goes on.",
        "[t for t, text in vocabulary.items() if any(c.startswith(said + text) for c in choices)] "
        "+ ([end] if said in choices else []).",
    ),
    _check_allowed,
    shipped=(Choices.allowed,),
)

# -------------------------------------------------------------------- 15.2 masks for guesses

GUESS_CASES = (
    (["banana", "band"], [], [5, 6, 6]),
    (["banana", "band"], [5], [4]),
    (["banana", "band"], [], []),
    (["banana", "band"], [5], [10, 6, 6]),
    (["band", "bands"], [9], [13, 1]),
    (["band", "bands"], [9], [1, 13]),
    (["banana"], [2], [2, 3]),
)
"""(choices, tokens so far, guesses)."""


def _random_guesses(random: Random) -> tuple[list[str], list[int], list[int]]:
    choices = ["".join(random.choices("ban", k=random.randint(4, 7))) for _ in range(2)]
    machine, said = Choices(choices, VOCABULARY, END), []
    while len(said) < 6 and END not in said:
        said = [*said, random.choice(machine.allowed(said))]
    split = random.randrange(len(said))
    guesses = said[split:]
    if random.random() < 0.5:  # one that is not allowed
        guesses[random.randrange(len(guesses))] = 11
    return choices, said[:split], guesses


def _check_masks(masks: Masks, random: Random) -> str:
    fresh = [_random_guesses(random) for _ in range(6)]
    for choices, said, guesses in (*GUESS_CASES, *fresh):
        machine = Choices(choices, VOCABULARY, END)
        call = f"choices {choices}, said {said}, guesses {guesses}"
        got = items(masks(_asked(machine, call), list(said), list(guesses)), f"{call}: the answer")
        require(
            len(got) == len(guesses) + 1,
            f"{call}: you give {len(got)} masks. The step draws at {len(guesses) + 1} places: at "
            "each guess, and behind the last one.",
        )
        _compare_masks(call, got, _right_masks(machine, said, guesses))
    return (
        f"{len(GUESS_CASES) + len(fresh)} guessed spans: each place has the mask that it would "
        f"have without guesses. {_told_guessing(masks, random.randrange(1000))}"
    )


def _told_guessing(masks: Masks, seed: int) -> str:
    """What the model in the box says with guesses under the learner's masks, and without."""
    with LLM(num_blocks=32) as llm:
        machine, prompt = _asked_of(llm)
        params = SamplingParams(seed=seed, max_tokens=12)
        steps = write_guessing(llm, prompt, machine, _read(masks), params)
        told = [token for step in steps for token in step]
        plain = write(llm, prompt, machine.allowed, params)
    texts = [shown("".join(machine.vocabulary.get(t, "") for t in ids)) for ids in (told, plain)]
    require(
        told == plain,
        f"In the engine, with guesses and your masks, the model in the box says {texts[0]}; "
        f"without guesses it says {texts[1]}.",
    )
    return f"The engine says {texts[0]} in {len(steps)} steps instead of {len(plain)}."


def _asked_of(llm: LLM) -> tuple[Choices, list[int]]:
    """Who knows the allowed answers, and the question."""
    tokenizer = llm.tokenizer
    (end,) = tokenizer.eos_token_ids
    letters = set("".join(ANSWERS))
    every = texts_of_tokens(tokenizer, llm.engine.runner.vocab_size)
    vocabulary = {i: text for i, text in every.items() if set(text) <= letters}
    prompt = tokenizer.chat_prompt([{"role": "user", "content": QUESTION}])
    return Choices(ANSWERS, vocabulary, end), prompt


def _read(masks: Masks) -> Masks:
    """The learner's masks as lists of ids."""

    def read(allowed: Any, said: list[int], guesses: list[int]) -> list[list[int]]:
        rows = items(masks(allowed, said, guesses), "What masks(...) returns")
        return [sorted(_ids(row, "A mask")) for row in rows]

    return read


def _asked(machine: Choices, call: str) -> Allowed:
    """The machine's question, which is refused for what cannot have been said."""

    def allowed(token_ids: Any) -> list[int]:
        said = whole_numbers(token_ids, "What you ask `allowed` about")
        try:
            return machine.allowed(said)
        except (ValueError, KeyError):
            raise Wrong(
                f"{call}: you ask what may follow {shown(said)}, but that cannot be said. Behind a "
                "guess that its own mask forbids, nothing is kept: give [] there, without asking."
            ) from None

    return allowed


def _right_masks(machine: Choices, said: list[int], guesses: list[int]) -> list[set[int]]:
    rows = [set(machine.allowed(said))]
    for place, guess in enumerate(guesses):
        is_allowed = guess in rows[-1]
        rows.append(set(machine.allowed(said + guesses[: place + 1])) if is_allowed else set())
    return rows


def _compare_masks(call: str, got: list[Any], want: list[set[int]]) -> None:
    for place, (mine, right) in enumerate(zip(got, want, strict=True)):
        ids = _ids(mine, f"{call}: mask {place}")
        require(
            bool(right) or not ids,
            f"{call}: mask {place} is {shown(sorted(ids))}. A guess before it is forbidden, or "
            "ends the answer, so nothing is kept there: [].",
        )
        lagging = place > 0 and ids == want[place - 1] != right
        require(
            not lagging,
            f"{call}: mask {place} is the one of the place before. It must know guess {place - 1}.",
        )
        require(
            ids == right,
            f"{call}: mask {place} is {shown(sorted(ids))}; after what was said and the "
            f"guesses before it, it is {shown(sorted(right))}.",
        )


MASKS = Exercise(
    "15.2",
    "Masks for a guessed span",
    "masks",
    "medium",
    (
        "At the first place nothing is guessed yet. At the next one, the first guess has been "
        "said. How many places are there?",
        "Begin with [allowed(said)]. For each guess: put it behind what was said, and ask again. "
        "But is the guess in the mask of its own place?",
        "rows = [allowed(said)]; for guess in guesses: said = [*said, guess]; "
        "rows.append(allowed(said) if guess in rows[-1] else []).",
    ),
    _check_masks,
)

EXERCISES = (ALLOWED, MASKS)
