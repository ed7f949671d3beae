"""What is in the folder of the live page, and that none of it is stale."""

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.live.conftest import BUILD, KERNELS

MOST_BYTES = 20_000_000


def test_the_folder_is_small(folder: Path):
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= MOST_BYTES


def test_the_same_sources_make_the_same_folder(folder: Path, tmp_path: Path):
    BUILD["build"](tmp_path)
    again = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if path.is_file()}
    assert again
    for name, path in again.items():
        assert path.read_bytes() == (folder / name).read_bytes(), name


def test_the_package_is_whole_but_for_what_needs_torch(folder: Path):
    with ZipFile(folder / "nanovllm_edu.zip") as archive:
        names = archive.namelist()
    for needed in ("engine.py", "native/wasm/gemm.wasm", "tiny/model/tokenizer.json"):
        assert f"nanovllm_edu/{needed}" in names
    assert not any("safetensors" in name or "/kernels/" in name for name in names)


def test_what_a_page_imports_comes_compiled_and_our_source_beside_it(folder: Path):
    with ZipFile(folder / "nanovllm_edu.zip") as ours:
        names = set(ours.namelist())
        source = ours.read("nanovllm_edu/engine.py")
    assert {f"nanovllm_edu/__pycache__/{n}.cpython-314.pyc" for n in ("engine", "errors")} <= names
    assert source == (BUILD["ROOT"] / "nanovllm_edu" / "engine.py").read_bytes()
    with ZipFile(folder / "pyodide" / "python_stdlib.zip") as library:
        names = set(library.namelist())
    assert {"enum.pyc", "dataclasses.pyc", "pydoc.py"} <= names
    assert not {"enum.py", "socketserver.py"} & names


def test_without_npm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    scope = BUILD["npm"].__globals__
    monkeypatch.setattr(scope["shutil"], "which", lambda _: None)
    monkeypatch.setitem(scope, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="npm was not found; install Node"):
        BUILD["npm"]()


def test_a_download_that_is_another_is_refused_and_forgotten(tmp_path: Path):
    path = tmp_path / "thing.whl"
    path.write_bytes(b"another")
    with pytest.raises(SystemExit, match=r"thing\.whl is not what was published"):
        BUILD["_kept"](path, None, "0" * 64)
    assert not path.exists()


def test_no_kernel_is_stale():
    assert KERNELS["stale"]() == [], "run docs/live/kernels.py"


@pytest.mark.skipif(not shutil.which("clang") or not shutil.which("wasm-ld"), reason="no clang")
def test_this_compiler_makes_the_same_kernels():
    built_with = BUILD["loads"](KERNELS["SETTINGS"].read_text())["compiler"]
    if built_with != KERNELS["compiler"]():
        pytest.skip(f"they were made by {built_with}")
    assert KERNELS["differing"]() == []
