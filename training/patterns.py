"""Counting, copying and remembering: answers that depend on the prompt, not on stored facts.

Each function draws one exchange (question, answer) or, for `remembering`, a whole conversation.
They teach the model to look back into its context, which is what a KV cache is for.
"""

import re
from random import Random

from training import world
from training.inference_facts import TERMS

_WORDS = tuple(word.name for word in world.ANIMALS) + world.OBJECTS + tuple(world.OPPOSITES)
_TEXT = " ".join(answer.text for term in TERMS for answer in term.answers.values())
_COMMON = tuple(
    sorted(set(re.findall(r"[A-Za-z]+", _TEXT + " hello world good day my dear friend")))
)
_COUNT = (
    "Count from {} to {}.", "Please count from {} to {}.", "Can you count from {} to {}?",
    "List the numbers from {} to {}.", "Write the numbers from {} to {}.",
)  # fmt: skip
_COUNT_TO = ("Count to {}.", "Please count to {}.", "Can you count to {}?", "Count up to {}.")
_NUMBER_WORDS = {3: "three", 4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten", 12: "twelve"}
_REPEAT = (
    "Repeat: {}", "Repeat after me: {}", "Say: {}", "Copy this: {}", "Please repeat: {}",
    "Repeat these words: {}", "Write exactly this: {}",
)  # fmt: skip
_CONTINUE = ("Continue: {}", "What comes next: {}", "Continue the pattern: {}", "Go on: {}")
_ADD = ("What is {} plus {}?", "What is {} + {}?", "Add {} and {}.", "How much is {} plus {}?")
_REMEMBER = (
    "Please remember the word {}.", "Remember this word: {}.", "The secret word is {}.",
    "My favourite word is {}.", "Keep the word {} in mind.",
)  # fmt: skip
_RECALL = (
    "Which word was it?", "What was the word?", "What is the secret word?", "What was my word?",
    "Which word did I tell you?", "Do you still know the word?",
)  # fmt: skip


def counting(rng: Random) -> tuple[str, str]:
    """Counts up or down, by one, two, five or ten."""
    stride = rng.choice((1, 1, 1, 1, 2, 5, 10))
    start = rng.choice((1, 1, 1, rng.randrange(0, 60))) if stride == 1 else stride
    numbers = [start + stride * i for i in range(rng.randrange(3, 21))]
    if rng.random() < 0.25:
        numbers.reverse()
    step = "" if stride == 1 else f" in steps of {stride}"
    question = rng.choice(_COUNT).format(numbers[0], numbers[-1])
    if numbers[0] == 1 and stride == 1 and rng.random() < 0.4:  # everybody starts at one
        question = rng.choice(_COUNT_TO).format(_NUMBER_WORDS.get(numbers[-1], numbers[-1]))
    return question[:-1] + step + question[-1], ", ".join(map(str, numbers)) + "."


def copying(rng: Random) -> tuple[str, str]:
    """Repeats a list of words or numbers."""
    kind = rng.random()
    if kind < 0.3:
        text = " ".join(rng.choices(_WORDS, k=rng.randrange(1, 8)))
    elif kind < 0.6:
        text = " ".join(rng.choices(_COMMON, k=rng.randrange(1, 8)))
    elif kind < 0.8:
        text = " ".join(str(rng.randrange(1000)) for _ in range(rng.randrange(1, 6)))
    else:
        text = " ".join(_syllables(rng) for _ in range(rng.randrange(1, 5)))
    return rng.choice(_REPEAT).format(text), text


def _syllables(rng: Random) -> str:
    """A word that does not exist."""
    pairs = (rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randrange(1, 4)))
    return "".join(pairs)


def invented_name(rng: Random) -> str:
    """A name that nobody in Willow Bay has."""
    return (_syllables(rng) + rng.choice("bdgklmnrst")).capitalize()


def continuing(rng: Random) -> tuple[str, str]:
    """Continues a cycle of words, such as red blue red blue."""
    cycle = rng.sample(_WORDS, rng.randrange(2, 4))
    shown = cycle * rng.randrange(2, 4)
    extra = rng.randrange(len(cycle))
    shown += cycle[:extra]
    following = (cycle[extra:] + cycle * 3)[: 2 * len(cycle)]
    return rng.choice(_CONTINUE).format(" ".join(shown)), " ".join(following)


def adding(rng: Random) -> tuple[str, str]:
    """Adds two numbers up to twenty."""
    a, b = rng.randrange(21), rng.randrange(21)
    return rng.choice(_ADD).format(a, b), f"{a} plus {b} is {a + b}."


def pattern(rng: Random) -> tuple[str, str]:
    """One exchange of any of these kinds."""
    return rng.choice((counting, copying, copying, continuing, adding))(rng)


def remembering(rng: Random) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two exchanges: a word to remember, and, later in the chat, the question for it."""
    word = rng.choice(_WORDS) if rng.random() < 0.7 else _syllables(rng)
    told = rng.choice(_REMEMBER).format(word), f"I will remember the word {word}."
    return told, (rng.choice(_RECALL), f"The word is {word}.")


def plain_pattern(rng: Random) -> str:
    """A pattern without a question: numbers in order, or a cycle of words."""
    if rng.random() < 0.5:
        stride, start = rng.choice((1, 1, 2, 5, 10)), rng.randrange(1, 50)
        separator = rng.choice((" ", ", "))
        return separator.join(str(start + stride * i) for i in range(rng.randrange(10, 40)))
    cycle = rng.sample(_WORDS, rng.randrange(1, 5))
    return " ".join(cycle * rng.randrange(4, 12))
