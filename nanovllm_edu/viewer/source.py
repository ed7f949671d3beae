"""The source of the linked view: small ES modules in `viewer/js/`, shipped as one.

An anywidget is one module and the exported page one script, so imports between files cannot stay.
The modules are written as usual, each naming what it takes from which other one; here they are put
one after the other, those that are imported first, and the import lines are dropped. There is no
build step and nothing is rewritten: the joined text is the files, in this order.

It knows nothing of recordings. Read next: `viewer/js/main.js`, where the view begins.
"""

import re
from functools import cache
from importlib.resources import files

MODULES = (
    "format",
    "state",
    "state_dict",
    "going_on",
    "notes",
    "spans",
    "replay",
    "dom",
    "glossary",
    "headline",
    "ink",
    "theme",
    "levels",
    "transport",
    "result",
    "timeline",
    "queues",
    "budget",
    "why",
    "pool_picture",
    "pool",
    "blocks",
    "sequence",
    "tensors",
    "phases",
    "viewer",
    "main",
)
"""Each imports only from those before it."""

IMPORT = re.compile(r"^import \{ ([^}]+) \} from \"\./(\w+)\.js\";\n", re.MULTILINE)
"""The one form of import that the modules use."""


def module_source(name: str) -> str:
    """One file of `viewer/js/`, as it was written."""
    return _read("js", f"{name}.js")


@cache
def viewer_script() -> str:
    """The view as one ES module without imports."""
    return "\n".join(IMPORT.sub("", module_source(name)) for name in MODULES)


@cache
def viewer_style() -> str:
    """The style sheet of the view."""
    return _read("viewer.css")


def _read(*path: str) -> str:
    return files("nanovllm_edu").joinpath("viewer", *path).read_text(encoding="utf-8")
