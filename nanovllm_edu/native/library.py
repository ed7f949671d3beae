"""A C file becomes functions that Python can call: compiled when first wanted, then kept.

The compiler is the machine's own (`CC`, else cc, gcc or clang). The library goes to the user's
cache folder under a name that says what it was made from, so a changed source, compiler, flag or
CPU makes another one, and nothing has to be built when the package is installed.

In a browser there is no compiler: the libraries of `native/wasm` were compiled beforehand
(`docs/live/kernels.py`), and Python's own loader takes them.

It knows nothing of what the functions compute. Used by `native/threads.py`.
"""

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from xxhash import xxh3_128_hexdigest

FOLDER = Path(__file__).parent
"""Where our C files are."""

# Sums may be re-ordered, or no loop over a sum could be vectorised. This is all of -ffast-math that
# is wanted: the whole of it would also switch off small numbers for the entire process.
REORDER_SUMS = (
    *("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"),
    *("-fno-math-errno", "-ffinite-math-only"),
)
FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-pthread", *REORDER_SUMS)
MACHINE_FLAGS = (("-march=native",), ())
"""Best first: not every compiler knows its machine."""


class CompileError(Exception):
    """No library, and why."""


def load_library(source: Path, defines: Mapping[str, int] | None = None) -> ctypes.CDLL:
    """Finds or makes the library of a C file: one attribute per C function.

    Args:
        source: The file.
        defines: Numbers that are constants of the compiled code, by name.

    Raises:
        CompileError: There is no compiler, it failed, or there is nowhere to keep the result.
    """
    if sys.platform == "emscripten":
        return _load_built(source, defines or {})
    compiler, macros = _compiler_here(tuple(find_compiler()))
    command = [*compiler, *(f"-D{name}={value}" for name, value in (defines or {}).items())]
    try:
        headers = [header.read_text("utf-8") for header in sorted(source.parent.glob("*.h"))]
        made_from = "\n".join([*command, macros, source.read_text("utf-8"), *headers])
        name = f"{source.stem}-{xxh3_128_hexdigest(made_from.encode())}.so"
        path = cache_folder() / name
        if not _is_whole(path):
            _compile(command, source, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompileError(f"the compiled library cannot be kept or loaded: {error}") from error


def find_compiler() -> list[str]:
    """The command of the machine's C compiler.

    Raises:
        CompileError: There is none.
    """
    if os.name != "posix":
        raise CompileError(f"C is compiled on Linux and macOS only, and this is {os.name!r}")
    asked = shlex.split(os.environ.get("CC", ""))
    for command in [asked] if asked else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    looked_for = f"CC={os.environ['CC']!r}" if asked else "cc, gcc or clang"
    raise CompileError(f"no C compiler was found ({looked_for}); install one, or set CC")


def cache_folder() -> Path:
    """Where libraries are kept: a folder that only its owner can write to.

    Raises:
        CompileError: Somebody else could have put a library there.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (root if root.is_absolute() else Path.home() / ".cache") / "nanovllm-edu"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise CompileError(f"others can write to {folder}; `chmod 700` it, or set XDG_CACHE_HOME")
    return folder


def built_file(source: Path, defines: Mapping[str, int]) -> Path:
    """Where the library of a C file for a browser is."""
    name = "_".join([source.stem, *map(str, defines.values())])
    return source.parent / "wasm" / f"{name}.wasm"


def _load_built(source: Path, defines: Mapping[str, int]) -> ctypes.CDLL:
    path = built_file(source, defines)
    if not path.exists():
        raise CompileError(f"{path.name} was not built; add it to docs/live/kernels.py")
    return ctypes.CDLL(str(path))


@cache
def _compiler_here(compiler: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The best command that a compiler takes, and all that its results depend on but our files.

    Its macros tell: among them are its version and what the CPU can do. To ask for them takes as
    long as to read a small file, but it is a process of its own: so all libraries share the answer.
    """
    complaint = ""
    for machine_flags in MACHINE_FLAGS:
        command = (*compiler, *FLAGS, *machine_flags)
        result = _run([*command, "-E", "-dM", "-x", "c", os.devnull])
        if result.returncode == 0:
            return command, result.stdout
        complaint = _complaint(result)
    raise CompileError(f"{compiler[0]} does not compile here: {complaint}")


def _is_whole(path: Path) -> bool:
    """Whether a kept library is as it was made. Loading a damaged one would end the process."""
    try:
        return _digest_file(path).read_text() == xxh3_128_hexdigest(path.read_bytes())
    except (OSError, UnicodeDecodeError):
        return False


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".digest")


def _compile(command: Sequence[str], source: Path, path: Path) -> None:
    """Compiles beside `path` and moves the result there at once: two processes may race."""
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        made = Path(temporary) / path.name
        result = _run([*command, str(source), "-o", str(made), "-lm"])
        if result.returncode:
            raise CompileError(f"{command[0]} cannot compile {source.name}: {_complaint(result)}")
        digest = _digest_file(made)
        digest.write_text(xxh3_128_hexdigest(made.read_bytes()))
        made.replace(path)
        digest.replace(_digest_file(path))


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The line of a compiler's output that says what is wrong."""
    lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
    return next((line for line in lines if "error" in line), lines[-1])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
