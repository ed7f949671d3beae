"""`nanovllm-edu info`: what was chosen at start, and why.

Read next: `runners/build.py`, where the choices are made.
"""

import argparse

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nanovllm_edu.cli.arguments import make_llm
from nanovllm_edu.cli.terminal import console, printable


def run(arguments: argparse.Namespace) -> None:
    """Loads the model as `generate` would and shows every choice with its reason."""
    with make_llm(arguments) as llm:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(f"model {printable(arguments.model)}", style="bold")
        table.add_column("chosen", style="cyan")
        table.add_column("why")
        for name, (value, why) in llm.info.choices.items():
            table.add_row(name, value, why)
        longest = llm.engine.max_model_len
        table.add_row("longest sequence", f"{longest} tokens", "what the model and the cache allow")
        console().print(table)
