"""A learner's value in a message: as it is, but never longer than one can read.

    shown([1, 2, 3])         "[1, 2, 3]"
    shown([0] * 10**9)       "[0, 0, 0, ...]", at once
    clipped(text, 100)       the text, or its beginning and its length

Read next: `checks.py`.
"""

from reprlib import Repr
from typing import Any

MAX_MESSAGE = 1000
"""Characters of a whole message."""

_LIMITS = Repr()
_LIMITS.maxlist = _LIMITS.maxtuple = _LIMITS.maxdeque = _LIMITS.maxarray = 40
_LIMITS.maxdict = _LIMITS.maxset = _LIMITS.maxfrozenset = 20
_LIMITS.maxstring = _LIMITS.maxother = 200
_LIMITS.maxlong = 60
_LIMITS.maxlevel = 4


def shown(value: Any) -> str:
    """`repr`, with the middle of what is long left out."""
    try:
        return clipped(_LIMITS.repr(value), 400)
    except ValueError:  # Python does not write out integers of more than 4,300 digits
        return f"something too long to be written out ({type(value).__name__})"


def clipped(text: str, length: int = MAX_MESSAGE) -> str:
    """The text; one that is longer ends with how long it was."""
    if len(text) <= length:
        return text
    return f"{text[:length]}... ({len(text):,} characters in all)"
