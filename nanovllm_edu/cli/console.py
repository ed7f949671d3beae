"""rich's console, for the commands that draw: `steps` and `demo`.

Read next: `step_view.py`.
"""

import sys

from rich.console import Console

MIN_WIDTH_OF_A_FILE = 100
"""Columns when the output is no terminal and so has no width of its own."""


def console() -> Console:
    """Stdout as rich sees it: colours on a terminal, plain text in a file or pipe."""
    width = None if sys.stdout.isatty() else MIN_WIDTH_OF_A_FILE
    return Console(width=width, highlight=False, soft_wrap=False)
