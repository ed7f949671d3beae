"""How far does a reader walk with one token? From `engine.add_request` to it, on a CPU.

    python benchmarks/walk.py [--chain]

One request with default options runs on the model in the box, and every call between two functions
of the package is written down (`sys.setprofile`).

    files   that the walk enters: a function of it runs, an object of a class of its own is made, or
            it is C that a Python file on the walk calls
    lines   of these files, all of them: docstrings and comments are read too
    hops    functions that are called from another file than their own: each is a place in another
            file that a reader who follows the calls has to look up. Looking one up again is no hop,
            nor is coming back, nor the constructor that Python makes for a dataclass or NamedTuple.
    paths   distinct pairs (from this file, into that one)

What torch calls, such as a module's `forward`, counts as called by whoever called torch.

`--chain` prints the hops in the order of their first time, with the function that was entered.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple

from nanovllm_edu import LLM

PACKAGE = "nanovllm_edu"
PROMPT = "Once upon a time"
GENERATED = ("<lambda>", "__create_fn__")
"""What Python calls the constructors of NamedTuples and dataclasses."""
C_FILE = re.compile(r'"(\w+\.c)"')


class Hop(NamedTuple):
    """The first call of a function from another file."""

    source: str
    target: str
    function: str


class Walk:
    """Files in the order in which they are entered, and the hops between them."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.hops: dict[tuple[str, str], Hop] = {}
        self.paths: set[tuple[str, str]] = set()
        modules = {name: m for name, m in sys.modules.items() if name.startswith(PACKAGE)}
        self._files = {name: file_of(module) for name, module in modules.items()}
        self._homes = {
            f"namedtuple_{name}": value.__module__
            for module in modules.values()
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, tuple)
        }

    def follow(self, walk: Callable[[], None]) -> None:
        """Runs it and writes every call down."""
        sys.setprofile(self._see)
        try:
            walk()
        finally:
            sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        target = self._file(frame)
        if event != "call" or target is None:
            return
        caller = frame.f_back
        while caller is not None and self._file(caller) is None:
            caller = caller.f_back
        source = self._file(caller) if caller is not None else None
        if source is not None:  # else it is this script that calls
            self._enter(source, target, frame.f_code.co_qualname)

    def _file(self, frame: FrameType) -> str | None:
        """The file of a function, even if Python generated it for a class there."""
        module = frame.f_globals.get("__name__", "")
        return self._files.get(self._homes.get(module, module))

    def _enter(self, source: str, target: str, function: str) -> None:
        for file in (source, target):
            if file not in self.files:
                self.files.append(file)
                self._enter_c(file)
        if source != target:
            self.paths.add((source, target))
            if not any(word in function for word in GENERATED):
                self.hops.setdefault((target, function), Hop(source, target, function))

    def _enter_c(self, file: str) -> None:
        for name in C_FILE.findall(Path(file).read_text(encoding="utf-8")):
            path = Path(file).with_name(name)
            if path.exists():
                self._enter(file, str(path), path.stem)


def file_of(module: ModuleType) -> str:
    assert module.__file__ is not None
    return module.__file__


def first_token(llm: LLM) -> None:
    """One request, until it has a token."""
    llm.engine.add_request(PROMPT)
    while not llm.engine.step().new_tokens:
        pass


def short(file: str) -> str:
    return file.rpartition(f"{PACKAGE}/")[2]


def num_lines(file: str) -> int:
    return len(Path(file).read_text(encoding="utf-8").splitlines())


def measure() -> Walk:
    """The walk of the first request of an engine."""
    with LLM() as llm:
        walk = Walk()
        walk.follow(lambda: first_token(llm))
    return walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chain", action="store_true", help="print the hops too")
    arguments = parser.parse_args()
    walk = measure()
    for file in walk.files:
        print(f"{num_lines(file):6}  {short(file)}")
    total = sum(map(num_lines, walk.files))
    sums = f"{len(walk.files)} files, {total:,} lines, {len(walk.hops)} hops"
    print(f"\n{sums}, {len(walk.paths)} paths")
    if arguments.chain:
        print()
        for number, hop in enumerate(walk.hops.values(), 1):
            print(f"{number:3}  {short(hop.source)} -> {short(hop.target)}  {hop.function}")


if __name__ == "__main__":
    main()
