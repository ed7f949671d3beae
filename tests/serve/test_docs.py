"""The page about serving says what the command can do, and the figures that the code has."""

import re
from pathlib import Path

from nanovllm_edu.async_llm import MAX_WAITING
from nanovllm_edu.cli.main import _parser
from nanovllm_edu.pace import LONGEST_PAUSE
from nanovllm_edu.serve.limits import ServeLimits

PAGE = (Path(__file__).parents[2] / "docs/use/serve.md").read_text(encoding="utf-8")


def options_of(command: str) -> set[str]:
    (commands,) = [a for a in _parser()._actions if a.dest == "command"]
    parser = commands.choices[command]  # type: ignore[index]
    return {option for action in parser._actions for option in action.option_strings}


def test_every_option_that_is_named_exists():
    named = set(re.findall(r"--[a-z][a-z0-9-]+", PAGE))
    assert len(named) > 20
    assert not named - options_of("serve") - options_of("load")


def test_every_limit_is_in_the_table_with_its_default():
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE))
    limits = ServeLimits()
    for name in ServeLimits.__slots__:
        shown, value = rows.pop(name.replace("_", "-")), getattr(limits, name)
        if value is not None:
            assert float({"1 MiB": 2**20}.get(shown, shown.removesuffix(" s"))) == value
    assert rows == {
        "max-waiting": str(MAX_WAITING),
        "max-queue-seconds": "without end",
        "max-pause-seconds": f"{LONGEST_PAUSE:g} s",
    }
