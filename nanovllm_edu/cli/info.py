"""`nanovllm-edu info`: what was chosen at start, and why.

Read next: `runners/build.py`, where the choices are made.
"""

import argparse
import sys

from nanovllm_edu.cli.make_llm import make_llm
from nanovllm_edu.cli.terminal import columns, printable


def run(arguments: argparse.Namespace) -> None:
    """Loads the model as `generate` would and shows every choice with its reason."""
    with make_llm(arguments) as llm:
        rows = [(f"model {printable(arguments.model)}", "chosen", "why"), ("", "", "")]
        rows += [(name, value, why) for name, (value, why) in llm.info.choices.items()]
        longest = f"{llm.engine.max_model_len} tokens"
        rows.append(("longest sequence", longest, "what the model and the cache allow"))
        sys.stdout.write(columns(rows))
