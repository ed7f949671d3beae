"""Tables of what suits up to so many rows."""

from typing import TypeVar

Entry, Other = TypeVar("Entry"), TypeVar("Other")


def entry_for(table: dict[int, Entry], number: int, beyond: Other) -> Entry | Other:
    """The entry of the smallest key that is not less than a number; `beyond` after the last."""
    return next((entry for key, entry in table.items() if key >= number), beyond)
