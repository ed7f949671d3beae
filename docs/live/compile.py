"""Compiles what a page imports, so that it starts sooner; runs inside Pyodide, from `compile.mjs`.

Python's library comes as source, and so does our package. Compiling them anew at each start would
take more than half of the time until an engine is there. So modules that a page imports become
bytecode here: those of the library instead of their source, without docstrings; ours beside it, for
`show_source` shows it. What is seldom imported stays source, which is smaller.

Left out is what needs processes, sockets or a terminal, old encodings, and what stands in for C.
"""

import sys
from importlib import import_module
from importlib._bootstrap_external import _code_to_hash_pyc
from importlib.util import cache_from_source, source_hash
from pkgutil import walk_packages
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

LESSONS = tuple(
    f"nanovllm_edu.lessons.lesson_{number}" for number in ("06", "08", "12", "13", "17", "18")
)
IMPORTED = ("nanovllm_edu.introspect.view", "nanovllm_edu.introspect.storage", *LESSONS)
LEFT_OUT = (
    *(
        "_pydatetime.py",
        "_pyio.py",
        "asyncio/proactor_events.py",
        "asyncio/windows_",
        "http/server.py",
    ),
    *("logging/handlers.py", "pickletools.py"),
    *("_pyrepl/", "doctest.py", "ftplib.py", "imaplib.py", "mailbox.py", "multiprocessing/"),
    *("pdb.py", "poplib.py", "smtplib.py", "socketserver.py", "unittest/", "wsgiref/", "xmlrpc/"),
    *(f"encodings/{name}" for name in ("cp1", "cp7", "cp8", "iso8859", "koi8", "mac_")),
)
LIBRARY, PACKAGES = "/lib/python314.zip/", "/lib/python3.14/site-packages/"
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def import_all() -> list[str]:
    """Imports all that a page does; returns the files of all modules that are loaded then."""
    live = import_module("nanovllm_edu.live")
    pages = (found.name for found in walk_packages(live.__path__, "nanovllm_edu.live."))
    for name in (*IMPORTED, *pages):
        import_module(name)
    return [getattr(module, "__file__", None) or "" for module in sys.modules.values()]


def compiled(path: str, source: bytes, optimize: int) -> bytes:
    """A module as a .pyc file that is never compared with its source."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=optimize)
    return bytes(_code_to_hash_pyc(code, source_hash(source), False))


def rewrite(archive: str, target: str, files: list[str], folder: str, *, keep: bool) -> None:
    """Writes an archive anew, with bytecode for these files, which lie in a folder of their own."""
    names = {file.removeprefix(folder) for file in files if file.startswith(folder)}
    with ZipFile(archive) as old, ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as new:
        for name in old.namelist():
            if name.startswith(LEFT_OUT):
                continue
            content = {name: old.read(name)}
            if name in names:
                code = compiled(folder + name, content[name], optimize=0 if keep else 2)
                content = {**content, cache_from_source(name): code} if keep else {f"{name}c": code}
            for entry, data in content.items():
                new.writestr(ZipInfo(entry, LONG_AGO), data, ZIP_DEFLATED)


found = import_all()
rewrite("/python_stdlib.zip", "/library.zip", found, LIBRARY, keep=False)
rewrite("/nanovllm_edu.zip", "/package.zip", found, PACKAGES, keep=True)
