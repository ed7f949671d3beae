"""Draws the still pictures of README and site anew: `.venv/bin/python docs/pictures.py`.

Most are what a command prints, recorded by rich and saved as SVG under docs/assets/. The card is
what others show beside a link to the site.
"""

import io
import os
import re
from contextlib import chdir, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from matplotlib import pyplot
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.cli import main
from nanovllm_edu.cli.demo import QUESTIONS
from nanovllm_edu.core.step_record import kind_of
from nanovllm_edu.lessons.pictures import colour_of

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


def draw_card() -> None:
    """1,200 x 630 pixels: the name, what it is, and the steps of a real run as coloured cells."""
    llm, records = LLM(block_size=8, num_blocks=24, max_num_batched_tokens=64), []
    for question in QUESTIONS:
        llm.engine.add_request(question, SamplingParams(temperature=0, max_tokens=32))
    while llm.engine.has_unfinished_requests():
        records.append(llm.engine.step())
    figure = pyplot.figure(figsize=(12, 6.3), dpi=100, facecolor="#14181e")
    figure.text(0.05, 0.82, "nanovllm-edu", color="white", size=46, weight="bold")
    figure.text(0.05, 0.72, "An LLM inference engine to learn from", color="#c9d3e0", size=27)
    axes = figure.add_axes((0.05, 0.08, 0.9, 0.56))
    for column, record in enumerate(records):
        for span in record.spans:
            alpha = 0.5 if kind_of(span) == "decode" else 1
            colour = colour_of(span.seq_id)
            axes.barh(span.seq_id, 0.88, left=column, height=0.84, color=colour, alpha=alpha)
    axes.invert_yaxis()
    axes.axis("off")
    figure.savefig(ASSETS / "card.png", pil_kwargs={"optimize": True})


if __name__ == "__main__":
    draw_card()
    with TemporaryDirectory() as folder, chdir(folder):  # the demo writes a page beside itself
        for name, arguments in PICTURES.items():
            draw(name, arguments)
