"""What a learner has done, kept in a file beside their notebooks.

`notebooks/copy_lessons.py` puts a `progress.json` into the folder of a learner's copies. Where
there is one, it is read and written, so that a new kernel knows what the last one knew. Where there
is none, nothing is written: the lessons as they are stored, and the tests, leave no trace.

    {"learner": 1234, "exercises": {"03.1": {"is_solved": true, "num_hints": 1}}}

`learner` is a random number by which what should differ between learners does, such as the order
of the suspects in lesson 13.

Read next: `registry.py`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanovllm_edu.core import html

FILE = "progress.json"


@dataclass(slots=True)
class Progress:
    """What was solved, and how many hints were shown.

    Attributes:
        path: The file; None for none.
        learner: The learner's number.
        exercises: Exercise id -> what is known of it.
    """

    path: Path | None = None
    learner: int = 0
    exercises: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    @classmethod
    def beside_the_notebook(cls) -> "Progress":
        """From the file in the folder of the notebook that runs, if there is one."""
        path = Path(FILE).resolve()
        if not path.is_file():
            return cls()
        try:
            known = json.loads(path.read_text("utf-8"))
            return cls(path, int(known.get("learner", 0)), dict(known.get("exercises", {})))
        except (ValueError, AttributeError, TypeError):
            path.replace(path.with_suffix(".broken"))  # somebody edited it; begin again
            return cls(path)

    def is_solved(self, exercise_id: str) -> bool:
        """Whether an answer was right once."""
        return bool(self.exercises.get(exercise_id, {}).get("is_solved"))

    def num_hints(self, exercise_id: str) -> int:
        """How many hints were shown."""
        return self.exercises.get(exercise_id, {}).get("num_hints", 0)

    def solved(self, exercise_id: str) -> None:
        """An answer was right."""
        self._note(exercise_id, "is_solved", True)

    def hinted(self, exercise_id: str, num_hints: int) -> None:
        """So many hints have been shown."""
        self._note(exercise_id, "num_hints", num_hints)

    def _note(self, exercise_id: str, name: str, value: Any) -> None:
        self.exercises.setdefault(exercise_id, {})[name] = value
        if self.path is not None:
            known = {"learner": self.learner, "exercises": self.exercises}
            self.path.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


@dataclass(frozen=True, slots=True)
class Row:
    """One exercise and what the learner has made of it."""

    exercise_id: str
    title: str
    level: str
    is_solved: bool
    num_hints: int

    @property
    def cells(self) -> tuple[str, ...]:
        """As text."""
        solved = "✓" if self.is_solved else ""
        return (
            solved,
            self.exercise_id,
            self.title.replace("`", ""),
            self.level,
            str(self.num_hints),
        )


HEADER = ("", "exercise", "title", "level", "hints seen")


@dataclass(frozen=True, slots=True)
class ProgressTable:
    """All exercises in order."""

    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        table = [HEADER, *(row.cells for row in self.rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*lines, self._count])

    def _repr_html_(self) -> str:
        return html.table(self._count, HEADER, [row.cells for row in self.rows])

    @property
    def _count(self) -> str:
        return f"{sum(row.is_solved for row in self.rows)} of {len(self.rows)} exercises solved"
