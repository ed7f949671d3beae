"""The facts are consistent, and the held-out questions are really held out."""

import re
from itertools import product
from random import Random

import pytest

from training.hand_written import hand_written_questions
from training.more_facts import MORE_FACTS
from training.phrasings import CLAUSE_WRAPPERS, PHRASINGS, SENTENCE_WRAPPERS
from training.questions import (
    FACTS,
    TRAINING_CLAUSE_WRAPPERS,
    TRAINING_SENTENCE_WRAPPERS,
    fill,
    held_out_questions,
    is_right,
    is_sentence,
    training_question,
)

ALL_FACTS = [fact for facts in FACTS.values() for fact in facts]
TRAINED_FACTS = [*ALL_FACTS, *(fact for family in MORE_FACTS for fact in family)]


def normalised(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def trained_texts() -> tuple[set[str], set[str]]:
    """Every sentence and every clause that a training question is made of."""
    sentences, clauses = set(), set()
    for fact in TRAINED_FACTS:
        for template in fact.phrasings.train:
            kind = sentences if is_sentence(template) else clauses
            kind.add(normalised(fill(template, fact)))
    return sentences, clauses


def unwrapped(question: str, wrappers: tuple[str, ...]) -> set[str]:
    """What a question may be inside of a wrapper."""
    inner = set()
    for wrapper in wrappers:
        before, after = (normalised(part) for part in wrapper.split("{}"))
        before, after = before and f"{before} ", after and f" {after}"
        if question.startswith(before) and question.endswith(after):
            inner.add(question.removeprefix(before).removesuffix(after))
    return inner


def test_held_out_questions_never_occur_in_training():
    sentences, clauses = trained_texts()
    assert min(len(sentences), len(clauses)) > 1000
    asked = {normalised(q.text) for q in (*held_out_questions(), *hand_written_questions())}
    for fact in ALL_FACTS:
        asked |= {normalised(fill(t, fact)) for t in fact.phrasings.held_out if is_sentence(t)}
    leaked = [
        question
        for question in asked
        if question in sentences
        or unwrapped(question, TRAINING_SENTENCE_WRAPPERS) & sentences
        or unwrapped(question, TRAINING_CLAUSE_WRAPPERS) & clauses
    ]
    assert not leaked


def test_wrappers_for_training_alone_are_not_held_out():
    assert not set(TRAINING_CLAUSE_WRAPPERS) & set(CLAUSE_WRAPPERS.held_out)
    assert not set(TRAINING_SENTENCE_WRAPPERS) & set(SENTENCE_WRAPPERS.held_out)


def test_no_phrasing_is_both_trained_and_held_out():
    for phrasings in (*PHRASINGS.values(), CLAUSE_WRAPPERS, SENTENCE_WRAPPERS):
        assert phrasings.train
        assert phrasings.held_out
        assert not set(phrasings.train) & set(phrasings.held_out)


def test_held_out_questions_are_200_different_ones_and_always_the_same():
    questions = held_out_questions()
    assert len({question.text for question in questions}) == 200
    assert questions == held_out_questions()
    assert {question.fact.topic for question in questions} == set(FACTS)


def test_training_questions_depend_on_the_seed_alone():
    def drawn(seed):
        rng = Random(seed)
        return [training_question(rng, fact) for fact in ALL_FACTS]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("topic", FACTS)
def test_the_answer_of_every_fact_counts_as_right(topic):
    assert all(is_right(fact.answer, fact) for fact in FACTS[topic])


def test_answers_of_other_people_count_as_wrong():
    jobs = [fact for fact in FACTS["world"] if fact.phrasings is PHRASINGS["job"]]
    for mine, other in product(jobs, jobs):
        assert is_right(other.answer, mine) == (mine is other)
    both = f"{jobs[0].answer} {jobs[1].answer}"
    assert not is_right(both, jobs[0])


def test_one_question_never_has_two_answers():
    answers = {}
    for fact in TRAINED_FACTS:
        for template in fact.phrasings.train + fact.phrasings.held_out:
            question = normalised(fill(template, fact))
            assert answers.setdefault(question, fact.answer) == fact.answer, question


def test_plural_terms_get_plural_verbs():
    graphs = next(f for f in FACTS["inference"] if f.slots.get("x") == "+CUDA graphs")
    assert fill("what is {x}?", graphs) == "what are CUDA graphs?"
    assert fill("how does {x} work?", graphs) == "how do CUDA graphs work?"
    assert fill("what {x} is", graphs) == "what CUDA graphs are"
