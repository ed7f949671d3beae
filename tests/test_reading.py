"""Whoever follows "Read next" finds each file, and sees the whole engine."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nanovllm_edu"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAME = re.compile(r"(?<![\w/*.:-])(?:\.\./|\w+/)*\w+\.(?:py|cu?|cuh|js|md|ipynb)\b")
USAGE = re.compile(r"`?python [^`\n]*(?:`|$)", re.MULTILINE)
FOLDER = re.compile(r"`((?:\w+/)+)`")
NEXT = re.compile(r"Read(?:ing order| next| in \w+ order).*", re.DOTALL)
FIRST = PACKAGE / "__init__.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def docstring(path: Path) -> str:
    if path.suffix != ".py":
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return USAGE.sub("", text)  # a command may name a file that is yet to be made


def found(name: str, module: Path) -> Path | None:
    """The file that a docstring means.

    Its path begins beside the module, at the package's top or the repository's, or in a folder that
    the docstring names.
    """
    folders = ["", *FOLDER.findall(docstring(module))]
    places = [top / folder / name for top in (module.parent, PACKAGE, ROOT) for folder in folders]
    return next((place.resolve() for place in places if place.exists()), None)


def following(path: Path) -> list[Path]:
    """What a module says to read next; "these" are the files that its docstring has named."""
    text = docstring(path)
    match = NEXT.search(text)
    if match is None:
        return []
    names = NAME.findall(text if re.search(r"\bthese\b", match[0]) else match[0])
    return [file for name in names if (file := found(name, path))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_that_a_docstring_names_exist(path: Path):
    missing = [name for name in NAME.findall(docstring(path)) if found(name, path) is None]
    assert not missing


@pytest.fixture(scope="module")
def walked() -> set[Path]:
    """All files that can be reached from the package's own docstring."""
    seen, ahead = {FIRST}, [FIRST]
    while ahead:
        new = [path for path in following(ahead.pop()) if path not in seen]
        seen |= set(new)
        ahead += new
    return seen


def test_the_chain_leads_through_the_readmes_list(walked: set[Path]):
    names = re.findall(r"^\d+\. \[`[^`]+`\]\(([^)]+)\)", README, re.MULTILINE)
    assert len(names) == 10
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing
    assert not [n for n in names if n.endswith(".py") and (ROOT / n).resolve() not in walked]


def test_the_chain_begins_as_the_readme_does():
    names = re.findall(r"^\d+\. \[`([^`]+\.py)`\]", README, re.MULTILINE)
    chain = [path.relative_to(PACKAGE).as_posix() for path in following(FIRST)]
    assert [name for name in chain if name in names] == names


@pytest.mark.parametrize("folder", ["core", "paged", "runners", "sampling", "attention", "wire"])
def test_the_chain_leaves_no_file_of_the_engine_out(folder: str, walked: set[Path]):
    files = [p for p in (PACKAGE / folder).rglob("[a-z]*.py") if p.name != "__init__.py"]
    assert not [str(p.relative_to(PACKAGE)) for p in files if p.resolve() not in walked]
