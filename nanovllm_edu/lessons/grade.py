"""Checks a learner's notebooks as a teacher would: every exercise in a process of its own.

    report = grade(Path("my_lessons"), seed=7)
    report["exercises"][0]    {"exercise": "00.1", "verdict": "right", "message": ...}

An answer is the cell with the exercise's tag, together with what it may use from the rest of the
notebook: imports, functions, classes and names that are set to a literal, wherever they stand. What
is computed in other cells is not run.

A process has a time limit, prints into nothing and, where the system allows it, may not take all of
the memory. It is no prison: whoever wants to cheat can. With one seed a whole class is checked on
the same inputs.

Run as a module it is that process: `python -m nanovllm_edu.lessons.grade 03.1 answer.py out.json
7`.

Read next: `registry.py`.
"""

import ast
import json
import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.lessons.exercise import Exercise, Wrong
from nanovllm_edu.lessons.registry import exercises_of, find, judge, lessons
from nanovllm_edu.lessons.sandbox import explain
from nanovllm_edu.lessons.shown import clipped

TIMEOUT = 60.0
"""Seconds that one exercise may take, the start of its process included."""

MAX_MEMORY = 8 * 2**30
"""Bytes of address space of a process."""

Verdict = Literal["right", "wrong", "empty", "missing", "timeout", "crash"]


class Grade(NamedTuple):
    """What came of one exercise."""

    exercise: str
    title: str
    level: str
    verdict: Verdict
    message: str


def grade(folder: Path, *, seed: int = 0, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Checks every exercise of the notebooks in a folder.

    Args:
        folder: With copies of the lessons; a lesson without a notebook is missing.
        seed: Of the random inputs.
        timeout: Seconds for each exercise.

    Returns:
        Plain data for JSON: `folder`, `seed`, `right`, `of`, and `exercises` in order.

    Raises:
        ConfigError: There is no notebook of a lesson in the folder.
    """
    notebooks = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not notebooks:
        raise ConfigError(
            f"{folder} holds no lesson (such as 03_paged_memory.ipynb); give the folder in which "
            "a learner has written, such as my_lessons."
        )
    grades = [
        _grade_one(exercise, notebooks.get(lesson), seed, timeout)
        for lesson in lessons()
        for exercise in exercises_of(lesson)
    ]
    return {
        "folder": str(folder),
        "seed": seed,
        "right": sum(each.verdict == "right" for each in grades),
        "of": len(grades),
        "exercises": [each._asdict() for each in grades],
    }


def _grade_one(exercise: Exercise, notebook: Path | None, seed: int, timeout: float) -> Grade:
    verdict, message = _verdict(exercise, notebook, seed, timeout)
    return Grade(exercise.exercise_id, exercise.title, exercise.level, verdict, message)


def _verdict(
    exercise: Exercise, notebook: Path | None, seed: int, timeout: float
) -> tuple[Verdict, str]:
    if notebook is None:
        return "missing", "There is no notebook of this lesson."
    try:
        source = answer_of(json.loads(notebook.read_text("utf-8")), exercise.exercise_id)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        return "missing", clipped(f"The notebook cannot be read: {error}", 300)
    if source is None:
        return "missing", f"The notebook has no cell with the tag exercise:{exercise.exercise_id}."
    with TemporaryDirectory() as scratch:
        answer, out = Path(scratch) / "answer.py", Path(scratch) / "out.json"
        answer.write_text(source, "utf-8")
        words = [exercise.exercise_id, str(answer), str(out), str(seed)]
        done = _run([sys.executable, "-m", __name__, *words], scratch, timeout)
        if done is None:
            return "timeout", f"It was not done after {timeout:.0f} seconds, and was ended."
        try:
            verdict, message = json.loads(out.read_text("utf-8"))
        except (OSError, ValueError):
            return "crash", f"Its process ended (status {done}) without a verdict."
        return verdict, message


def _run(command: list[str], folder: str, timeout: float) -> int | None:
    """The status of a process, or None if it took too long. What it prints is lost."""
    quiet = subprocess.DEVNULL
    on_cpu = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=on_cpu,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process with all that it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def answer_of(notebook: dict[str, Any], exercise_id: str) -> str | None:
    """The source of an answer, with what it may use; None if there is no such cell."""
    tag, pieces, has_answer = f"exercise:{exercise_id}", list[str](), False
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if tag in cell.get("metadata", {}).get("tags", ()):
            pieces.append(source)
            has_answer = True
        else:
            pieces += _usable(source)
    return "\n\n".join(pieces) + "\n" if has_answer else None


def _usable(source: str) -> list[str]:
    """Imports, definitions and literals of a cell that is not an answer."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # half-written, or a command of IPython
        return []
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return [
        ast.unparse(node)
        for node in statements
        if isinstance(node, kinds) or (isinstance(node, ast.Assign) and _is_literal(node.value))
    ]


def _is_literal(node: ast.expr) -> bool:
    with suppress(ValueError, TypeError, MemoryError, RecursionError):
        ast.literal_eval(node)
        return True
    return False


# ------------------------------------------------------------------- inside the process


def main(exercise_id: str, answer: str, out: str, seed: str) -> None:
    """Runs one answer and writes [verdict, message]."""
    _limit_memory()
    exercise = find(exercise_id)
    verdict, message = _judged(exercise, answer, int(seed))
    Path(out).write_text(json.dumps([verdict, message]), "utf-8")


def _judged(exercise: Exercise, path: str, seed: int) -> tuple[Verdict, str]:
    try:
        answer = written(path, exercise.name)
    except Wrong as wrong:
        return "wrong", str(wrong)
    is_right, message = judge(exercise, answer, seed)
    if message.startswith("Nothing is written yet"):
        return "empty", message
    return ("right" if is_right else "wrong"), message


def written(path: str, name: str) -> Any:
    """Runs a learner's file and returns what it defines under a name.

    Raises:
        Wrong: It cannot be run, or defines no such thing.
    """
    try:
        defined = runpy.run_path(path)
    except SystemExit:
        raise Wrong("The cell ends the program (`sys.exit`, `exit` or `quit`).") from None
    except Exception as error:
        raise Wrong(clipped(f"The cell cannot be run. {explain(error)}")) from None
    if name not in defined:
        raise Wrong(f"The cell defines no `{name}`.")
    return defined[name]


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


if __name__ == "__main__":
    main(*sys.argv[1:])
