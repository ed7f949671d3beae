"""Texts with choices in them: "[Tell|Show] me [a|one] story." is four sentences in one line.

Choices may be nested, and may be empty: "[very [old|quiet] |]house". `phrasings.py`, `unknown.py`
and `stories.py` are written so. This module knows nothing else.
"""

import re
from random import Random

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")


def choose(rng: Random, text: str) -> str:
    """Makes every choice of a text at random, the innermost ones first."""
    while "[" in text:
        text = _INNERMOST.sub(lambda found: rng.choice(found[1].split("|")), text)
    return text


def split_outside(text: str, separator: str = "|") -> list[str]:
    """Splits a text at separators that are not part of a choice."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
