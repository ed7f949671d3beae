"""The rules of the house that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "nanovllm_edu").rglob("*.py"))


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_each_layer_imports_only_from_below():
    lint_imports = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_the_package_is_light():
    heavy = {"matplotlib", "ipywidgets", "anywidget", "IPython", "jupyter_core", "torch"}
    assert not modules_after("import nanovllm_edu") & heavy


def test_importing_every_public_name_needs_no_notebook():
    notebook = {"matplotlib", "ipywidgets", "anywidget", "IPython", "jupyter_core"}
    assert not modules_after("from nanovllm_edu import *") & notebook


def test_the_core_is_pure_python():
    imports = "; ".join(
        f"import {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in (ROOT / "nanovllm_edu" / "core").rglob("*.py")
        if path.stem != "__init__"
    )
    third_party = modules_after(imports) - modules_after("pass") - set(sys.stdlib_module_names)
    assert third_party == {"nanovllm_edu", "xxhash"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_does(path: Path):
    source = path.read_text(encoding="utf-8")
    assert not source or ast.get_docstring(ast.parse(source))


def test_no_grab_bag_modules():
    grab_bags = {"utils", "common", "helpers", "misc"}
    assert not [path for path in MODULES if grab_bags & {path.stem, path.parent.name}]
