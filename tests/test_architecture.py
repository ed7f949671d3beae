"""The rules of the house that a machine can check."""

import ast
import re
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


HEAVY = {
    *("triton", "flash_attn", "cuda"),  # only on a GPU
    *("matplotlib", "ipywidgets"),  # only with the extra `lab`
    *("transformers", "huggingface_hub"),  # seconds to import, and not every run needs them
    *("jinja2", "tokenizers"),  # which these two bring
    "llguidance",  # only with the extra `grammar`
    "resource",  # not on Windows
}
"""Libraries that may be imported inside a function, and the only ones."""


def imports_of(tree: ast.AST) -> set[str]:
    """Full names of the modules (or names in them) that statements of `tree` import."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say the whole name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def file_of(name: str) -> Path | None:
    """The file of a module of ours, or of the module in which a name of ours is."""
    for candidate in (name, name.rpartition(".")[0]):
        path = ROOT.joinpath(*candidate.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file in PARSED:
                return file
    return None


PARSED = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def top_imports(path: Path) -> set[str]:
    """What a module imports when it is imported."""
    body = [
        node for node in PARSED[path].body if not isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return set().union(*(imports_of(node) for node in body if not is_type_checking(node)))


def needs_heavy(path: Path, seen: frozenset[Path] = frozenset()) -> bool:
    """Whether importing a module of ours imports one of the heavy libraries."""
    if path in seen:
        return False
    for name in top_imports(path):
        file = file_of(name) if name.startswith("nanovllm_edu") else None
        if name.partition(".")[0] in HEAVY or (file and needs_heavy(file, seen | {path})):
            return True
    return False


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_hides_in_a_function(path: Path):
    """Heavy libraries may, and modules of ours that cannot be imported without one of these."""
    functions = [node for node in ast.walk(PARSED[path]) if isinstance(node, FUNCTIONS)]
    hidden = set().union(*(imports_of(function) for function in functions))
    for name in hidden:
        if name.startswith("nanovllm_edu"):
            file = file_of(name)
            assert file is not None
            assert needs_heavy(file), f"{name} costs nothing to import at the top"
        else:
            assert name.partition(".")[0] in HEAVY, name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_of_ours_hides_from_the_checker_of_layers(path: Path):
    """`if TYPE_CHECKING` is for types of heavy libraries; the package's own names are lazy."""
    hidden = set().union(*(imports_of(n) for n in ast.walk(PARSED[path]) if is_type_checking(n)))
    ours = {name for name in hidden if name.startswith("nanovllm_edu")}
    assert not ours or path == ROOT / "nanovllm_edu" / "__init__.py"


def test_nothing_private_of_torch_is_called_but_where_it_is_measured():
    private = re.compile(r"torch\.(?:ops\.[\w.]*?\b_\w+|_C\b)")
    users = {p.name for p in MODULES if private.search(p.read_text(encoding="utf-8"))}
    assert users == {"packed.py"}


def test_importing_the_package_is_light():
    heavy = {"matplotlib", "ipywidgets", "anywidget", "IPython", "jupyter_core", "torch"}
    assert not modules_after("import nanovllm_edu") & heavy


def test_importing_every_public_name_needs_no_notebook():
    notebook = {"matplotlib", "ipywidgets", "anywidget", "IPython", "jupyter_core"}
    assert not modules_after("from nanovllm_edu import *") & notebook


@pytest.mark.parametrize("switch", ["enable", "disable"])
def test_nothing_is_collected_while_a_public_name_is_loaded(switch: str):
    """And afterwards garbage is collected, unless the user switched that off."""
    code = f"""
import gc, nanovllm_edu
gc.{switch}()
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
nanovllm_edu.LLM
print(len(seen), gc.isenabled())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", str(switch == "enable")]


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
