"""Draws the terminal pictures of README and site anew: `.venv/bin/python docs/pictures.py`.

Each is what a command prints, recorded by rich and saved as SVG under docs/assets/.
"""

import io
import os
import re
from contextlib import chdir, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from nanovllm_edu.cli import main

# Without rich's web fonts: a picture should not load anything from elsewhere.
SVG_FORMAT = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "Menlo, Consolas, DejaVu Sans Mono"
)
ASSETS = Path(__file__).resolve().parent / "assets"
BEGINNING = "Once upon a time, Mira the baker"
PICTURES = {
    "steps": ["steps", f"{BEGINNING} lived", f"{BEGINNING} had", "--max-steps", "2"],
    "demo": ["demo"],
    "info": ["info"],
}


def draw(name: str, arguments: list[str]) -> None:
    """Runs one command and saves what it prints."""
    with open(os.devnull, "w") as nowhere:
        terminal = Console(record=True, width=108, highlight=False, file=nowhere)
        plain, drawn = io.StringIO(), f"nanovllm_edu.cli.{arguments[0]}.console"
        with redirect_stdout(plain), mock.patch(drawn, return_value=terminal, create=True):
            assert main(arguments) == 0
        terminal.print(plain.getvalue(), end="", markup=False)
    words = [f'"{word}"' if " " in word else word for word in arguments]
    svg = terminal.export_svg(
        title=f"nanovllm-edu {' '.join(words)}",
        theme=SVG_EXPORT_THEME,
        code_format=SVG_FORMAT,
        unique_id=name,
    )
    (ASSETS / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    with TemporaryDirectory() as folder, chdir(folder):  # the demo writes a page beside itself
        for name, arguments in PICTURES.items():
            draw(name, arguments)
