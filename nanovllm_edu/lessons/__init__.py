"""What the notebooks are made of: predictions, shown source, exercises with instant answers.

    predict(...)          a bet before running a cell, settled by the cell after it
    show_source(obj)      the real code of the package; show_c_source(file, name) for that in C
    check("03.1", mine)   runs your function inside a real engine and says what is wrong
    hint("03.1")          the next rung of the exercise's ladder
    progress()            what you have solved
    recorded("main")      what was measured on a GPU

It knows nothing of how the engine works: each exercise in `lesson_*.py` does.

Read next: `exercise.py`, then `lesson_03.py` as an example of exercises.
"""

from nanovllm_edu.lessons.exercise import CheckResult, Exercise, Hint, Wrong
from nanovllm_edu.lessons.prediction import Prediction, predict
from nanovllm_edu.lessons.recorded import recorded
from nanovllm_edu.lessons.registry import check, hint, progress
from nanovllm_edu.lessons.source import show_c_source, show_source

__all__ = [
    "CheckResult",
    "Exercise",
    "Hint",
    "Prediction",
    "Wrong",
    "check",
    "hint",
    "predict",
    "progress",
    "recorded",
    "show_c_source",
    "show_source",
]
