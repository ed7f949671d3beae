"""Printing for people: text made safe to print, and columns.

A model may generate anything, terminal control sequences included, so whatever comes from a model
or a user goes through `printable`.
"""

import shutil
import textwrap
from collections.abc import Sequence


def printable(text: str) -> str:
    """`text` with its control characters written out, except line breaks and tabs."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else repr(character)[1:-1]
        for character in text
    )


def quoted(text: str, max_length: int = 40) -> str:
    """`text` on one line in quotes, its middle left out if it is long."""
    line = printable(text).replace("\n", "\\n").replace("\t", "\\t")
    if len(line) > max_length:
        half = (max_length - 1) // 2
        line = f"{line[:half]}…{line[-half:]}"
    return f'"{line}"'


def columns(rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows as three columns, the last of which is wrapped to the terminal's width."""
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(2)]
    indent = " " * sum(widths)
    width = max(shutil.get_terminal_size((100, 0)).columns, len(indent) + 30)
    return "".join(
        textwrap.fill(
            last,
            width,
            initial_indent=first.ljust(widths[0]) + second.ljust(widths[1]),
            subsequent_indent=indent,
        )
        + "\n"
        for first, second, last in rows
    )
