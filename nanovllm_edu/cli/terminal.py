"""Printing for people: a console, and text made safe to print.

A model may generate anything, terminal control sequences included, so whatever comes from a model
or a user goes through `printable`.
"""

import sys

from rich.console import Console

MIN_WIDTH_OF_A_FILE = 100
"""Columns when the output is no terminal and so has no width of its own."""


def console() -> Console:
    """Stdout as rich sees it: colours on a terminal, plain text in a file or pipe."""
    width = None if sys.stdout.isatty() else MIN_WIDTH_OF_A_FILE
    return Console(width=width, highlight=False, soft_wrap=False)


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
