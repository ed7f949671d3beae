"""`{{ source core/schedule/scheduler.py Scheduler.plan }}`: code on a page, from the file by name.

Nothing is copied, so nothing can go stale: a name that no longer exists fails the build. Without a
name the whole file is shown, folded. `vllm:v1/request.py` links a file of another project, and
`{{ unmapped }}` lists the engine's files that the page has not named.
"""

import ast
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "nanovllm_edu"
TOUR = Path(__file__).parents[1] / "tour"
ENGINE = ("core", "runners", "attention", "layers", "models", "sampling")
DIRECTIVE = re.compile(r"^\{\{ source (\S+\.(?:py|c))((?: \S+)*) \}\}$", re.MULTILINE)
LINK = re.compile(r"\{\{ file (\S+) \}\}")
ELSEWHERE = re.compile(r"\b(vllm|nano|go):([\w./]+\w)")
PROJECTS = {
    "vllm": "https://github.com/vllm-project/vllm/blob/main/vllm/",
    "nano": "https://github.com/GeeeekExplorer/nano-vllm/blob/main/nanovllm/",
    "go": "https://github.com/hashneo/nano-vllm-go/blob/main/",
}


def on_page_markdown(markdown, **_):
    """Replaces every directive by a fenced block."""
    markdown = markdown.replace("{{ unmapped }}", _unmapped(markdown))
    markdown = LINK.sub(lambda match: f"`{_existing(match[1])}`", markdown)
    markdown = ELSEWHERE.sub(lambda m: f"[`{m[2]}`]({PROJECTS[m[1]]}{m[2]})", markdown)
    return DIRECTIVE.sub(lambda match: _blocks(match[1], match[2].split()), markdown)


@cache
def tour_stops() -> dict[str, str]:
    """File of the package -> the first stop of the tour that shows it."""
    shown = [
        (match[1], path.stem)
        for path in sorted(TOUR.glob("[0-9]*.md"))
        for match in DIRECTIVE.finditer(path.read_text("utf-8"))
    ]
    return dict(reversed(shown))


def _unmapped(markdown):
    """The engine's files that a page does not name."""
    files = [path for folder in ENGINE for path in sorted((PACKAGE / folder).rglob("[a-z]*.py"))]
    names = [path.relative_to(PACKAGE).as_posix() for path in files]
    return ", ".join(f"`{name}`" for name in names if f"{{{{ file {name} }}}}" not in markdown)


def _existing(name):
    if not (PACKAGE / name).exists():
        raise FileNotFoundError(f"a page names {name}, but there is no such file")
    return name


def _blocks(name, symbols):
    text = (PACKAGE / _existing(name)).read_text("utf-8")
    if symbols:
        return "\n\n".join(_block(name, text, symbol) for symbol in symbols)
    language = "c" if name.endswith(".c") else "python"
    whole = _fence(text.rstrip(), f'title="nanovllm_edu/{name}" linenums="1"', language)
    return f'??? example "The whole file: {name}"\n\n' + _indented(whole)


def _block(name, text, symbol):
    node = _find(ast.parse(text).body, symbol.split("."), name)
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    margin = len(lines[0]) - len(lines[0].lstrip())
    code = "\n".join(line[margin:] for line in lines)
    return _fence(code, f'title="nanovllm_edu/{name}" linenums="{first}"')


def _find(body, path, name):
    for node in body:
        if path[0] in _names(node):
            return node if len(path) == 1 else _find(node.body, path[1:], name)
    raise LookupError(f"a page shows {path[0]} of {name}, but there is no such name")


def _names(node):
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return [getattr(node, "name", None)]


def _fence(code, options, language="python"):
    return f"````{language} {options}\n{code}\n````"


def _indented(text):
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
