"""`Judge` and `Grammar`: what the core asks about a sequence's text and its form.

Few sequences have one. Both know what the core does not, text: `text_judge.py` and `grammar.py`, at
the package's top, are the real ones.

Read next: `core/request/ending.py`, which asks them.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Protocol


class TextEnd(Protocol):
    """Where a text ends.

    Attributes:
        num_tokens: How many of the tokens just given belong to the sequence.
        stop: The stop string that is complete; None if a token ended it.
    """

    @property
    def num_tokens(self) -> int: ...

    @property
    def stop(self) -> str | None: ...


class Judge(Protocol):
    """Decides by a sequence's text whether it ends; for sequences that have stop strings."""

    def add(self, token_ids: Iterable[int]) -> TextEnd | None:
        """Takes the next tokens, up to one that ends the text."""
        ...


class Grammar(Protocol):
    """Which tokens may come next; for sequences whose answer must have a form.

    Attributes:
        is_complete: Whether nothing but the end can follow.
    """

    @property
    def is_complete(self) -> bool: ...

    def masks(self, drafted: Seq[int] = ()) -> tuple[bytes, ...]:
        """What may come at the next position, and behind each of these guesses: one bit a token."""
        ...

    def num_allowed(self, token_ids: Seq[int]) -> int:
        """How many of these tokens, from the first on, may come next."""
        ...

    def accept(self, token_ids: Seq[int]) -> int:
        """Moves on by these tokens up to the first that may not come; returns how many."""
        ...
