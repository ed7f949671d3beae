"""The table of kernels in the docs is true: what it names exists, and it leaves no kernel out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "nanovllm_edu"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/reference/kernels.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| .*`tests/", line)
]
TRITON_FILES = sorted((PACKAGE / "kernels" / "triton").glob("*.py"))


def named_in(cell: str) -> tuple[Path, str]:
    """The file and the name of a cell such as "`native/ops.c` `rms_norm`"."""
    path, name = re.fullmatch(r"`([\w/.]+)` `([\w.]+)`", cell).groups()
    return PACKAGE / path, name


def names_of_python(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{part.name}" for part in node.body if hasattr(part, "name")}
    return names


def names_of_c(path: Path) -> set[str]:
    """Functions that others may call: not static, and in CUDA C++ declared `extern "C"`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".cu":
        return set(re.findall(r'^extern "C"[^{;]*?\n(\w+)\(', text, re.M))
    return set(re.findall(r"^(?:void|int) (\w+)\(", text, re.M))


def names_in(path: Path) -> set[str]:
    return names_of_python(path) if path.suffix == ".py" else names_of_c(path)


def jit_functions(path: Path) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and any("triton.jit" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_the_table_names_exists(row: list[str]) -> None:
    _, *places, test = row
    assert len(places) == 4
    for place in places:
        if place != "–":
            path, name = named_in(place)
            assert name in names_in(path), place
    assert (ROOT / test.strip("`")).is_file()
    assert places[0] != "–", "every operation has a reference"


def test_no_kernel_is_left_out() -> None:
    files = {named_in(place)[0] for row in ROWS for place in row[1:5] if place != "–"}
    launched = {
        path
        for path in TRITON_FILES
        if any(function.name.endswith("_kernel") for function in jit_functions(path))
    }
    assert launched <= files
    named = {named_in(place) for row in ROWS for place in row[1:5] if place != "–"}
    for path in (*PACKAGE.rglob("*.c"), *PACKAGE.rglob("*.cu")):
        assert {(path, name) for name in names_of_c(path)} <= named


@pytest.mark.parametrize("path", TRITON_FILES, ids=lambda path: path.stem)
def test_every_triton_function_says_what_it_does(path: Path) -> None:
    assert [f.name for f in jit_functions(path) if not ast.get_docstring(f)] == []
