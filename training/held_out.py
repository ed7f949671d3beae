"""What the training text must not contain: the wordings of both test sets.

`corpus.py` draws a document again if a user says one of them, alone or as a sentence among others.
"""

import re

from training.hand_written import hand_written_questions
from training.questions import FACTS, fill, held_out_questions, is_sentence


def normalised(text: str) -> str:
    """The words of a text, without capitals and marks."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _held_out() -> set[str]:
    questions = (*held_out_questions(), *hand_written_questions())
    wordings = {normalised(text) for q in questions for text in (q.text, *q.before[1:])}
    for facts in FACTS.values():
        for fact in facts:
            sentences = filter(is_sentence, fact.phrasings.held_out)
            wordings |= {normalised(fill(sentence, fact)) for sentence in sentences}
    # "And decode?" after a question is nobody's own wording: only longer ones can be kept apart.
    return {wording for wording in wordings if len(wording.split()) > 2}


HELD_OUT = frozenset(_held_out())


def has_held_out_wording(text: str) -> bool:
    """Whether a text is one of the wordings of the test sets, or one of its sentences is."""
    sentences = re.split(r"(?<=[.?!:]) ", text)
    return any(normalised(part) in HELD_OUT for part in (text, *sentences))
