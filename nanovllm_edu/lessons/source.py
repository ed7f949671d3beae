"""`show_source`: the real code of the package, never a copy.

It is shown as a Markdown code block, so the page it is on colours it: JupyterLab in its own theme,
light or dark, and GitHub and the site in theirs.
"""

import inspect
import re
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from nanovllm_edu.native.library import FOLDER


@dataclass(frozen=True, slots=True)
class SourceView:
    """The source of one object and where it lives."""

    place: str
    code: str
    language: str = "python"

    def __repr__(self) -> str:
        return f"# {self.place}\n{self.code}"

    def _repr_markdown_(self) -> str:
        return f"`{self.place}`\n\n```{self.language}\n{self.code}\n```"


def show_source(obj: Any) -> SourceView:
    """Displays the source of a module, class, function or Triton kernel.

    Args:
        obj: Anything with source; a kernel is shown as it was written.
    """
    # A Triton kernel wraps the function it was made from.
    target = inspect.unwrap(getattr(obj, "fn", obj))
    code = dedent(inspect.getsource(target)).rstrip()
    module = inspect.getmodule(target)
    name = getattr(target, "__qualname__", "")
    assert module is not None
    path = module.__name__.replace(".", "/") + ".py"
    return SourceView(path if inspect.ismodule(target) else f"{path} · {name}", code)


def show_c_source(file: str, function: str) -> SourceView:
    """Displays one function of a file in `native/`, with the comment above it.

    Args:
        file: Such as "paged_attention.c".
        function: Its name.
    """
    code = (FOLDER / file).read_text("utf-8")
    pieces = (piece.strip() for piece in re.split(r"(?<=\n}\n)\n", code))
    [piece] = [piece for piece in pieces if re.search(rf"^\w.*\b{function}\(", piece, re.MULTILINE)]
    return SourceView(f"nanovllm_edu/native/{file} · {function}", piece, "c")
