"""Compiles the C kernels to WebAssembly, for Python in a browser; the results are committed.

    python docs/live/kernels.py            compiles
    python docs/live/kernels.py --check    compiles elsewhere and compares

It takes clang and lld, from Debian for example. What is compiled are the files of
`nanovllm_edu/native` as they stand: vectors of 128 bits take the place of AVX, and there are no
threads. A library is what Emscripten calls a side module, so that Python's `ctypes` loads it.

The libraries are committed because a reader who builds the site should not need a compiler. So that
none of them grows stale, `BUILT.json` keeps the digest of what each was made from, which a test
compares wherever it runs, and `--check` compares the bytes, where the compiler is the same one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from json import dumps, loads
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from nanovllm_edu.native.library import FOLDER, REORDER_SUMS, built_file  # noqa: E402

KERNELS: dict[str, Mapping[str, int]] = {
    "draw.c": {},
    "gemm.c": {},
    "ops.c": {},
    "paged_attention.c": {"HEAD_DIM": 64},  # of the model in the box
}
"""File -> the numbers that are constants of its compiled code."""
SETTINGS = FOLDER / "wasm" / "BUILT.json"
COMPILE = (
    *("clang", "--target=wasm32-unknown-emscripten", "-std=gnu11", "-O3", "-fPIC"),
    *("-msimd128", "-mbulk-memory", "-nostdlib", "-nostdlibinc"),
    *REORDER_SUMS,
)
LINK = ("wasm-ld", "-shared", "--experimental-pic", "--no-entry", "--export-all", "--strip-all")


def compiler() -> str:
    """The compiler's name and version."""
    run = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[0]


def made_from(name: str) -> str:
    """A digest of all that a library depends on, but for the compiler."""
    headers = sorted([*FOLDER.glob("*.h"), *FOLDER.glob("wasm/*.h")])
    parts = [repr((COMPILE, LINK, KERNELS[name])), (FOLDER / name).read_text("utf-8")]
    parts += [header.read_text("utf-8") for header in headers]
    return sha256("\0".join(parts).encode()).hexdigest()


def compile_kernels(folder: Path) -> None:
    """Makes all libraries in a folder."""
    for name, defines in KERNELS.items():
        constants = [f"-D{key}={value}" for key, value in defines.items()]
        made = folder / built_file(FOLDER / name, defines).name
        made_object = made.with_suffix(".o")
        include = ["-isystem", "wasm"]
        command = [*COMPILE, *include, *constants, "-c", name, "-o", str(made_object)]
        subprocess.run(command, cwd=FOLDER, check=True)
        subprocess.run([*LINK, str(made_object), "-o", str(made)], check=True)
        made_object.unlink()


def build() -> None:
    """Makes all libraries where the package looks for them, and writes down of what."""
    compile_kernels(FOLDER / "wasm")
    sources = {name: made_from(name) for name in KERNELS}
    SETTINGS.write_text(dumps({"compiler": compiler(), "sources": sources}, indent=2) + "\n")


def stale() -> list[str]:
    """C files whose libraries were made from something else."""
    sources = loads(SETTINGS.read_text())["sources"]
    return [name for name in KERNELS if sources.get(name) != made_from(name)]


def differing() -> list[str]:
    """Libraries that are not, byte for byte, what this compiler makes."""
    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(Path(folder))
        made = sorted(Path(folder).iterdir())
        return [p.name for p in made if p.read_bytes() != (FOLDER / "wasm" / p.name).read_bytes()]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{name} is stale" for name in stale() + differing()) or 0)
    build()
