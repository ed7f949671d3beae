"""The facts are consistent, and the held-out questions are really held out."""

import re
from itertools import product
from random import Random

import pytest

from nanovllm_edu.tiny.phrasings import CLAUSE_WRAPPERS, PHRASINGS, SENTENCE_WRAPPERS
from nanovllm_edu.tiny.questions import (
    FACTS,
    fill,
    held_out_questions,
    is_right,
    is_sentence,
    training_question,
    wrap,
)

ALL_FACTS = [fact for facts in FACTS.values() for fact in facts]


def normalised(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def every_training_question() -> set[str]:
    questions = set()
    for fact in ALL_FACTS:
        for template in fact.phrasings.train:
            text = fill(template, fact)
            questions.add(normalised(text))
            if is_sentence(template):
                questions |= {normalised(wrap(w, text)) for w in SENTENCE_WRAPPERS.train}
            else:
                questions |= {normalised(w.format(text)) for w in CLAUSE_WRAPPERS.train}
    return questions


def test_held_out_questions_never_occur_in_training():
    trained = every_training_question()
    assert len(trained) > 100_000
    leaked = [q.text for q in held_out_questions() if normalised(q.text) in trained]
    assert not leaked


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
    for fact in ALL_FACTS:
        for template in fact.phrasings.train + fact.phrasings.held_out:
            question = normalised(fill(template, fact))
            assert answers.setdefault(question, fact.answer) == fact.answer, question


def test_plural_terms_get_plural_verbs():
    graphs = next(f for f in FACTS["inference"] if f.slots.get("x") == "+CUDA graphs")
    assert fill("what is {x}?", graphs) == "what are CUDA graphs?"
    assert fill("how does {x} work?", graphs) == "how do CUDA graphs work?"
    assert fill("what {x} is", graphs) == "what CUDA graphs are"
