"""The facts are consistent, and the held-out questions are really held out."""

from itertools import product
from random import Random

import pytest

from training.corpus import document
from training.hand_written import hand_written_questions
from training.held_out import HELD_OUT, has_held_out_wording, normalised
from training.more_facts import LESSON_FACTS, MORE_FACTS
from training.phrasings import CLAUSE_WRAPPERS, PHRASINGS, SENTENCE_WRAPPERS
from training.questions import (
    FACTS,
    TRAINING_CLAUSE_WRAPPERS,
    TRAINING_SENTENCE_WRAPPERS,
    Fact,
    fill,
    held_out_questions,
    is_right,
    is_sentence,
    training_question,
)
from training.unknown import ANSWER, SORRY

ALL_FACTS = [fact for facts in FACTS.values() for fact in facts]
TRAINED_FACTS = [*ALL_FACTS, *LESSON_FACTS, *(fact for family in MORE_FACTS for fact in family)]


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
    asked = {normalised(question.text) for question in held_out_questions()}
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


def test_no_document_holds_a_held_out_wording():
    assert has_held_out_wording("What do cows say?")
    assert has_held_out_wording("Hi! what do cows say? Thanks!")
    assert not has_held_out_wording("What do ducks say?")
    rng = Random(0)
    for doc in (document(rng) for _ in range(1500)):
        said = [doc] if isinstance(doc, str) else [m["content"] for m in doc]
        assert not any(map(has_held_out_wording, said))
    assert all(q.text and normalised(q.text) in HELD_OUT for q in held_out_questions())


def test_over_300_questions_are_worded_by_hand_and_each_has_a_right_answer():
    questions = hand_written_questions()
    assert len({(*q.before, q.text) for q in questions}) == len(questions) >= 300
    answers = {fact.answer for fact in TRAINED_FACTS} | {ANSWER, SORRY}
    for question in questions:
        right = [answer for answer in answers if is_right(answer, question.fact)]
        assert 0 < len(right) < len(answers) / 10, question


def test_one_of_several_key_words_is_enough():
    either = Fact("", PHRASINGS["what"], {}, "", ("ids/pairs", "text"))
    assert is_right("It joins pairs of text.", either)
    assert not is_right("It joins pairs.", either)


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


def test_questions_with_choices_are_all_of_different_wording():
    rng = Random(0)
    fact = next(f for f in FACTS["inference"] if f.slots.get("x") == "a KV cache")
    asked = {training_question(rng, fact) for _ in range(1000)}
    assert len(asked) > 700
    assert not [text for text in asked if set(text) & set("[]{}|")]


def test_plural_terms_get_plural_verbs():
    graphs = next(f for f in FACTS["inference"] if f.slots.get("x") == "+CUDA graphs")
    assert fill("what is {x}?", graphs) == "what are CUDA graphs?"
    assert fill("how does {x} work?", graphs) == "how do CUDA graphs work?"
    assert fill("what {x} is", graphs) == "what CUDA graphs are"
