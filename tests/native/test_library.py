"""Compiled once, kept where nobody else can write, and every failure is a sentence."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nanovllm_edu.native.library import CompileError, cache_folder, load_library

SOURCE = "int answer(void) { return ANSWER; }\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "answer.c"
    path.write_text(SOURCE)
    return path


def compilers_like(tmp_path: Path, script: str) -> str:
    """A command that stands for the compiler."""
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


def libraries() -> list[Path]:
    return sorted(cache_folder().glob("*.so"))


def test_a_library_is_compiled_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("CC", compilers_like(tmp_path, f'echo "$@" >> {log}; exec cc "$@"'))
    for _ in range(2):
        assert load_library(source, {"ANSWER": 42}).answer() == 42
    assert log.read_text().count("-o ") == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "another", "no digest"])
def test_case_16_a_damaged_library_is_made_again(source: Path, damage: str) -> None:
    """Loading a truncated one ends the process; one without the symbols is an AttributeError."""
    assert load_library(source, {"ANSWER": 1}).answer() == 1
    assert load_library(source, {"ANSWER": 2}).answer() == 2
    path, other = libraries()
    whole = path.read_bytes()
    path.unlink()  # the one that is loaded stays as it was
    path.write_bytes(
        {"cut": whole[:6000], "empty": b"", "another": other.read_bytes()}.get(damage, whole)
    )
    if damage == "no digest":
        path.with_suffix(".digest").unlink()
    answers = {load_library(source, {"ANSWER": n}).answer() for n in (1, 2)}
    assert answers == {1, 2}
    assert path.read_bytes() == whole


def test_other_sources_and_constants_are_other_libraries(source: Path) -> None:
    assert load_library(source, {"ANSWER": 1}).answer() == 1
    assert load_library(source, {"ANSWER": 2}).answer() == 2
    source.write_text(SOURCE.replace("ANSWER;", "ANSWER + 1;"))
    assert load_library(source, {"ANSWER": 2}).answer() == 3
    assert len(libraries()) == 3


def test_a_header_is_part_of_its_sources(source: Path) -> None:
    source.write_text(f'#include "more.h"\n{SOURCE.replace("ANSWER", "MORE")}')
    for more in (6, 7):
        (source.parent / "more.h").write_text(f"#define MORE {more}\n")
        assert load_library(source).answer() == more
    assert len(libraries()) == 2


def test_the_compiler_is_asked_once_for_all_libraries(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("CC", compilers_like(tmp_path, f'echo "$@" >> {log}; exec cc "$@"'))
    for answer in (1, 2, 1):
        load_library(source, {"ANSWER": answer})
    assert log.read_text().count("-dM") == 1
    assert log.read_text().count("-o ") == 2


def test_several_may_compile_at_once(source: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda _: load_library(source, {"ANSWER": 5}), range(4))
    assert [library.answer() for library in made] == [5] * 4
    assert len(libraries()) == 1  # and nothing half-made lies beside it


def test_a_compiler_that_does_not_know_its_machine_compiles_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'case "$*" in *-march*) echo "error: unsupported option" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", compilers_like(tmp_path, f'{refuse}; exec cc "$@"'))
    assert load_library(source, {"ANSWER": 3}).answer() == 3


def test_what_the_compiler_complains_about_is_shown(source: Path) -> None:
    source.write_text("int answer(void) { return forty_two; }\n")
    with pytest.raises(CompileError, match=r"cannot compile answer\.c: .*forty_two"):
        load_library(source, {})


def test_a_compiler_that_does_nothing_is_no_compiler(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(CompileError, match="false does not compile here: exit status 1"):
        load_library(source, {})
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompileError, match=r"cc, gcc or clang\); install one"):
        load_library(source, {})


def test_the_cache_is_the_users_own(source: Path) -> None:
    folder = cache_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(CompileError, match="others can write to"):
        load_library(source, {"ANSWER": 4})


def test_a_cache_that_cannot_be_made_is_said(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(source))  # a file
    with pytest.raises(CompileError, match="cannot be kept or loaded"):
        load_library(source, {"ANSWER": 6})


def test_a_relative_cache_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG base directory specification wants."""
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "nanovllm-edu"
