"""`nanovllm-edu grade FOLDER`: a teacher's view of a learner's notebooks.

Read next: `lessons/grade.py`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nanovllm_edu.cli.console import console
from nanovllm_edu.cli.terminal import printable
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.lessons.grade import grade


def run(arguments: argparse.Namespace) -> None:
    """Checks every exercise and shows the verdicts, as a table or as JSON."""
    if arguments.timeout <= 0:
        raise ConfigError(f"timeout={arguments.timeout:g} is not above 0; give seconds.")
    report = grade(Path(arguments.folder), seed=arguments.seed, timeout=arguments.timeout)
    if arguments.json:
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    else:
        console().print(_table(report))


def _table(report: dict[str, Any]) -> Table:
    title = f"{report['right']} of {report['of']} right (seed {report['seed']})"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("exercise", style="bold", no_wrap=True)
    table.add_column("level")
    table.add_column("verdict", style="cyan")
    table.add_column("what it was told")
    for each in report["exercises"]:
        message = printable(" ".join(each["message"].split()))
        table.add_row(each["exercise"], each["level"], each["verdict"], message)
    return table
