"""The corpus is drawn deterministically, well formed and varied."""

import re
from collections import Counter
from itertools import pairwise
from random import Random

from training import world
from training.choices import choose, split_outside
from training.corpus import document
from training.described import DESCRIBED
from training.follow_ups import follow_ups, introduced
from training.inference_facts import TERMS
from training.lesson_facts import LESSON_TERMS
from training.noise import bare, muddled
from training.patterns import adding, continuing, copying, counting, remembering
from training.plots import PLOTS
from training.questions import FACTS
from training.stories import story, story_request
from training.unknown import unknown


def test_documents_depend_on_the_seed_alone():
    def drawn(seed):
        rng = Random(seed)
        return [document(rng) for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_chats_alternate_between_user_and_assistant():
    rng = Random(0)
    chats = [doc for doc in (document(rng) for _ in range(300)) if not isinstance(doc, str)]
    assert chats
    for messages in chats:
        roles = [message["role"] for message in messages if message["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_stories_are_filled_in_and_long_enough():
    rng = Random(0)
    stories = {story(rng) for _ in range(500)}
    assert len(stories) == 500
    assert all(not re.search(r"[{}|]", text) for text in stories)
    assert min(len(text.split()) for text in stories) >= 50
    assert all(len(plot) == 8 for plot in PLOTS)


def test_hardly_a_sentence_is_told_twice():
    rng = Random(0)
    told = Counter()
    for _ in range(40):
        told.update(set(re.split(r'(?<=[.!?"]) (?=[A-Z"])', story(rng).replace("Mrs. ", "Mrs "))))
    assert max(told.values()) <= 2, told.most_common(3)


def test_choices_are_made_from_the_inside_and_may_be_empty():
    rng = Random(0)
    text = "[a [small|tiny] |]house"
    assert {choose(rng, text) for _ in range(50)} == {"a small house", "a tiny house", "house"}
    assert split_outside("[a|b] c|d") == ["[a|b] c", "d"]


def test_what_is_unknown_gets_the_honest_answer():
    rng = Random(0)
    for _ in range(500):
        question, answer = unknown(rng)
        assert question
        assert not set(question) & set("[]|")
        assert "I only know Willow Bay and LLM inference." in answer or (
            answer.startswith("I do not know anyone called ")
            and not any(person.name in answer for person in world.PEOPLE)
        )


def test_nobody_acts_in_a_story_before_being_introduced():
    rng = Random(0)
    for _ in range(1000):
        text = story(rng)
        hero = min((p for p in world.PEOPLE if p.name in text), key=lambda p: text.index(p.name))
        friend = next(p for p in world.PEOPLE if p.name == hero.friend)
        first = text.partition(f"{friend.name}")[0]
        rest = text.removeprefix(first)
        assert not rest or first.endswith("friend ") or rest.startswith(f"{friend.name} the ")
        together = re.search(r"\b(They|Together they|We|Let us)\b", text)
        assert not together or friend.name in text[: together.start()]
        if hero.pet_name in text:
            introduced = f"{hero.pet_name} the {hero.pet}"
            assert text.index(introduced) == text.index(hero.pet_name)


def test_a_story_about_something_mentions_it():
    rng = Random(0)
    for _ in range(300):
        request, text = story_request(rng)
        for animal in world.ANIMALS:
            if f"about a {animal.name}." in request:
                assert f" {animal.name}" in text


def test_follow_ups_refer_back_to_the_first_question():
    rng = Random(0)
    talks = [follow_ups(rng) for _ in range(300)]
    assert max(len(talk) for talk in talks) > 2
    for (_, first), *rest in talks:
        assert all(not re.search(r"[{}]", question) for question, _ in rest)
        people = [p for p in world.PEOPLE if p.name in first]
        said = " ".join(question.lower() for question, _ in rest)
        same_question = any(person.name.lower() in said for person in world.PEOPLE)
        if people and rest and not same_question:
            known = {name for p in people for name in (p.name, p.friend)}
            assert all(any(name in answer for name in known) for _, answer in rest)


def test_an_introduced_question_names_its_subject_first():
    rng = Random(0)
    for _ in range(300):
        question, answer = introduced(rng)
        assert not set(question) & set("[]{}|")
        assert answer


def test_patterns_are_correct():
    rng = Random(0)
    for _ in range(100):
        question, answer = copying(rng)
        assert question.endswith(answer)
        _, answer = adding(rng)
        a, b, total = map(int, re.findall(r"\d+", answer))
        assert a + b == total
        _, answer = counting(rng)
        numbers = [int(number) for number in re.findall(r"\d+", answer)]
        assert len({b - a for a, b in pairwise(numbers)}) == 1
        (told, _), (_, recalled) = remembering(rng)
        assert recalled.split()[-1].rstrip(".") in told


def test_a_cycle_goes_on_where_it_stopped():
    rng = Random(1)
    for _ in range(100):
        question, answer = continuing(rng)
        words = question.partition(": ")[2].split() + answer.split()
        period = len(set(words))
        assert all(words[i] == words[i + period] for i in range(len(words) - period))


def test_every_fact_about_people_has_one_owner():
    for attribute in ("name", "job", "pet_name", "food", "hobby", "coat", "home"):
        values = [getattr(person, attribute) for person in world.PEOPLE]
        assert len(set(values)) == len(values), attribute
    for person in world.PEOPLE:
        assert person.home in {place.name for place in world.PLACES}
        friend = next(p for p in world.PEOPLE if p.name == person.friend)
        assert friend.friend == person.name


def test_how_a_thing_works_is_told_after_what_it_is_unless_that_was_said():
    how = next(f for f in FACTS["inference"] if f.definition and f.slots["x"] == "prefill")
    assert how.alone == f"{how.definition} {how.answer}"
    rng = Random(0)
    first, later = set(), set()
    for _ in range(4000):
        (_, answer), *rest = follow_ups(rng)
        first.add(answer)
        later |= {told for _, told in rest}
    assert how.alone in first
    assert how.answer in later
    assert how.alone not in later


def test_a_term_is_described_without_being_named():
    terms = {term.names[0].removeprefix("+"): term for term in (*TERMS, *LESSON_TERMS)}
    rng = Random(0)
    for line in DESCRIBED.strip().splitlines():
        name, _, said = line.partition(": ")
        assert name in terms
        for text in split_outside(said):
            told = choose(rng, text)
            assert not set(told) & set("[]{}|")
            assert not re.search(rf"\b{re.escape(name)}\b", told), name


def test_a_muddled_question_keeps_what_it_is_about_and_its_mark():
    rng = Random(0)
    kept = frozenset({"kv", "cache"})
    asked = "Can you please tell me what a KV cache is good for?"
    muddled_ones = [muddled(rng, asked, kept) for _ in range(200)]
    assert all(re.search(r"\bkv\b.*\bcache\b.*\?$", text, re.IGNORECASE) for text in muddled_ones)
    assert len(set(muddled_ones)) > 190
    words = [len(text.split()) for text in muddled_ones]
    assert 6 < sum(words) / len(words) < 16


def test_an_owner_in_a_question_is_kept_too():
    rng = Random(0)
    kept = frozenset(map(bare, ["The", "baker's", "home"]))
    texts = [muddled(rng, "Where is the baker's home?", kept) for _ in range(100)]
    assert all(re.search(r"\bbaker's\b.*\bhome\b", text, re.IGNORECASE) for text in texts)
