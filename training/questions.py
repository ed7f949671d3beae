"""Facts with their answers, and questions that ask for them in many phrasings.

A `Fact` joins an entry of `world.py`, `inference_facts.py` or `small_talk.py` with the phrasings
of `phrasings.py`. `training_question` draws from the phrasings to train on and adds the noise of
real typing; `held_out_questions` builds the test set from the others. This module does not know
how questions become documents: see `corpus.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from training import world
from training.choices import choose
from training.inference_facts import COMPARISONS, TERMS, Term
from training.noise import bare, capitalise, chatty, muddled, noise
from training.phrasings import (
    CLAUSE_WRAPPERS,
    MORE_CLAUSE_WRAPPERS,
    MORE_SENTENCE_WRAPPERS,
    PHRASINGS,
    SENTENCE_WRAPPERS,
    VARIED_WRAPPERS,
    Phrasings,
)
from training.small_talk import SMALL_TALK


@dataclass(frozen=True)
class Fact:
    """One thing the model knows, how to ask for it, and what makes an answer right."""

    topic: str  # "world", "inference" or "small talk"
    phrasings: Phrasings
    slots: dict[str, str]
    answer: str
    keywords: tuple[str, ...]  # a right answer contains all of them
    mistakes: tuple[str, ...] = field(default=())  # and none of these
    definition: str = ""  # what the term is, said first where nobody has said it

    @property
    def alone(self) -> str:
        """The answer to a question out of the blue."""
        return f"{self.definition} {self.answer}".strip()


@dataclass(frozen=True)
class Question:
    """A question of the test set."""

    text: str
    fact: Fact
    before: tuple[str, ...] = ()  # what the user has asked before, in the same chat


def is_right(answer: str, fact: Fact) -> bool:
    """Whether an answer has every key word of the fact and no rival value (case ignored).

    A key word "ids/pairs" is there if one of both is.
    """

    def has(phrase: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(phrase.lower())}", answer.lower()) is not None

    found = all(any(map(has, keyword.split("/"))) for keyword in fact.keywords)
    return found and not any(map(has, fact.mistakes))


def _person_facts(person: world.Person) -> Iterator[tuple[str, str, str]]:
    """Yields (kind of fact, the value in the answer, the answer)."""
    name, he, pet = person.name, person.pronoun, world.article(person.pet)
    his = {"he": "his", "she": "her"}[he]
    yield "job", person.job, f"{name} is the {person.job} of {world.VILLAGE}."
    yield "who_job", name, f"The {person.job} of {world.VILLAGE} is {name}."
    yield "home", person.home, f"{name} lives near the {person.home}."
    yield "food", person.food, f"{name} likes {person.food} best."
    yield "hobby", person.hobby, f"{name} likes {person.hobby}."
    yield "pet", person.pet, f"{name} has {pet} called {person.pet_name}."
    yield "pet_name", person.pet_name, f"{name}'s {person.pet} is called {person.pet_name}."
    yield "owner", name, f"{person.pet_name} is the {person.pet} of {name}."
    yield "friend", person.friend, f"The best friend of {name} is {person.friend}."
    yield "coat", person.coat, f"{name} wears {world.article(person.coat)} coat."
    about = f"{name} is the {person.job} of {world.VILLAGE}. {he.title()} lives near the "
    about += f"{person.home} and has {pet} called {person.pet_name}. In the evening, {name} likes "
    yield "person", person.job, f"{about}{person.hobby}, and {his} best friend is {person.friend}."


def _people() -> list[Fact]:
    facts = []
    for person in world.PEOPLE:
        slots = {key: str(value) for key, value in vars(person).items()}
        slots["article_pet"] = world.article(person.pet)
        slots["a_coat"] = world.article(person.coat)
        for kind, value, answer in _person_facts(person):
            facts.append(Fact("world", PHRASINGS[kind], slots, answer, (value,)))
    return [_with_mistakes(fact, facts) for fact in facts]


def _with_mistakes(fact: Fact, facts: list[Fact]) -> Fact:
    """Adds the values of the same kind that would be wrong: "baker" where "tailor" is right."""
    rivals = {f.keywords[0] for f in facts if f.phrasings is fact.phrasings}
    allowed = fact.answer.lower()
    mistakes = tuple(sorted(value for value in rivals if value.lower() not in allowed))
    return replace(fact, mistakes=mistakes)


def _places_and_animals() -> Iterator[Fact]:
    def fact(kind: str, value: str, answer: str, **slots: str) -> Fact:
        return Fact("world", PHRASINGS[kind], slots, answer, (value,))

    for place in world.PLACES:
        name = place.name
        yield fact("location", place.location, f"The {name} is {place.location}.", place=name)
        seen = f"At the {name}, you can see {place.feature}."
        yield fact("feature", place.feature, seen, place=name)
    for animal in world.ANIMALS:
        one = world.article(animal.name)
        start = one.capitalize()
        yield fact("sound", animal.sound, f"{start} says {animal.sound}.", a_animal=one)
        yield fact("diet", animal.food, f"{start} likes to eat {animal.food}.", a_animal=one)
        yield fact("lair", animal.home, f"{start} lives {animal.home}.", a_animal=one)


def _common_knowledge() -> Iterator[Fact]:
    def fact(kind: str, value: str, answer: str, **slots: str) -> Fact:
        return Fact("world", PHRASINGS[kind], slots, answer, (value,))

    for kind, cycle in (("day", world.DAYS), ("month", world.MONTHS)):
        for this, after in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            answer = f"The {kind} after {this} is {after}."
            yield fact(f"next_{kind}", after, answer, **{kind: this})
    for thing, colour in world.COLOURS.items():
        yield fact("colour", colour, f"The colour of {thing} is {colour}.", thing=thing)
    for word, other in world.OPPOSITES.items():
        for a, b in ((word, other), (other, word)):
            yield fact("opposite", b, f"The opposite of {a} is {b}.", word=a)


def fact_of(term: Term, aspect: str, name: str) -> Fact:
    """What, why or how: of a term under one of its names.

    How a thing works is told after what it is: one often hears the former and wants the latter.
    """
    what = term.answers["what"].text
    answer = term.answers[aspect].text if aspect in term.answers else what
    definition = what if aspect == "how" and answer != what else ""
    return Fact("lessons", PHRASINGS[aspect], {"x": name}, answer, (), definition=definition)


def _inference() -> Iterator[Fact]:
    for term in TERMS:
        for name in term.names:
            for aspect, answer in term.answers.items():
                fact = fact_of(term, aspect, name)
                yield replace(fact, topic="inference", keywords=answer.keywords)
    for (a, b), answer in COMPARISONS.items():
        for first, second in ((a, b), (b, a)):
            slots, text = {"a": first, "b": second}, answer.text
            yield Fact("inference", PHRASINGS["difference"], slots, text, answer.keywords)


def _small_talk() -> Iterator[Fact]:
    for answer, phrasings in SMALL_TALK:
        yield Fact("small talk", phrasings, {}, answer.text, answer.keywords)


FACTS = {
    "world": (*_people(), *_places_and_animals(), *_common_knowledge()),
    "inference": tuple(_inference()),
    "small talk": tuple(_small_talk()),
}


def _agree(template: str, slots: dict[str, str]) -> str:
    """Puts the verbs of a question into the plural for a term marked with `+`."""
    if not slots.get("x", "").startswith("+"):
        return template
    template = re.sub(r"\bis (exactly )?\{x\}", r"are \1{x}", template)
    template = template.replace("what exactly is", "what exactly are")
    template = template.replace("does {x}", "do {x}").replace("exactly does", "exactly do")
    return re.sub(r"\{x\} (is|means|matters|works|does|helps)\b", _plural_verb, template)


def _plural_verb(match: re.Match[str]) -> str:
    return "{x} " + {"is": "are", "does": "do"}.get(match[1], match[1].rstrip("s"))


def fill(template: str, fact: Fact) -> str:
    """Writes the words of a fact into one of its phrasings."""
    slots = {key: value.removeprefix("+") for key, value in fact.slots.items()}
    return _agree(template, fact.slots).format_map(slots)


def is_sentence(template: str) -> bool:
    """Whether a phrasing is complete; otherwise it is a clause that needs a wrapper."""
    return template[-1] in "?.!"


TRAINING_CLAUSE_WRAPPERS = (*CLAUSE_WRAPPERS.train, *MORE_CLAUSE_WRAPPERS)
TRAINING_SENTENCE_WRAPPERS = (*SENTENCE_WRAPPERS.train, *MORE_SENTENCE_WRAPPERS)


def training_question(rng: Random, fact: Fact) -> str:
    """Draws one question for a fact from the training phrasings, with noise."""
    question = dress(rng, fill(training_phrasing(rng, fact.phrasings), fact))
    if fact.slots and rng.random() < 0.25:
        question = muddled(rng, question, _words_of(fact))
    return with_aside(rng, question, fact)


def _words_of(fact: Fact) -> frozenset[str]:
    """What a question for a fact is about: the words of its slots, without their marks."""
    return frozenset(map(bare, " ".join(fact.slots.values()).split()))


_ASIDES = (
    "[I know|I know all about|Forget|Not|I do not mean|I have read about|We talked about|I am done "
    "with|Somebody explained|You explained|Everybody speaks of|First I saw|I understand|I like"
    "|This is not about|Yesterday it was] {y}[.|, fine.|, but now:|. Now:|, so:|, good.|. But:] {}",
    "{} [I do not mean|Not|I am not asking about|And not|Please do not explain|I know] {y}.",
    "[In the chapter on|With|While reading about|Talking of|Next to|Because of] {y}: {}",
)


def with_aside(rng: Random, question: str, fact: Fact) -> str:
    """Mentions another person or term in front of a question, or behind it."""
    key = next((key for key in ("x", "name") if key in fact.slots), None)
    if key is None or rng.random() > 0.12:
        return question
    other = rng.choice(FACTS["inference" if key == "x" else "world"]).slots.get(key, "Tom")
    aside = choose(rng, rng.choice(_ASIDES)).replace("{y}", other.removeprefix("+"))
    return aside.replace("{}", capitalise(question))


def training_phrasing(rng: Random, phrasings: Phrasings) -> str:
    """Draws one of the phrasings to train on, more often one of those with choices."""
    if phrasings.varied and (rng.random() < 0.6 or not phrasings.train):
        return choose(rng, rng.choice(phrasings.varied))
    return rng.choice(phrasings.train)


def dress(rng: Random, question: str) -> str:
    """Puts polite words around a question, at times, and types it as people do."""
    text = _wrapped(rng, question)
    if rng.random() < 0.2:
        text = chatty(rng, text)
    return noise(rng, text) if rng.random() < 0.5 else text


def _wrapped(rng: Random, text: str) -> str:
    if not is_sentence(text):
        return capitalise(rng.choice(TRAINING_CLAUSE_WRAPPERS).format(text))
    if rng.random() < 0.6 or text.endswith("!"):
        return capitalise(text)
    if rng.random() < 0.5:
        return wrap(choose(rng, rng.choice(VARIED_WRAPPERS)), text)
    return wrap(rng.choice(TRAINING_SENTENCE_WRAPPERS), text)


def wrap(wrapper: str, sentence: str) -> str:
    """Puts words around a sentence, which goes on in small letters after a comma."""
    start = (
        sentence[0].lower()
        if wrapper.endswith((", {}", "And {}", "But {}"))
        else sentence[0].upper()
    )
    keep = sentence[:2].isupper() or sentence.split()[0] in world.NAMES  # "KV ...", "Tom works"
    return capitalise(wrapper.format(sentence if keep else start + sentence[1:]))


def held_out_question(rng: Random, fact: Fact) -> Question:
    """Poses a fact in a phrasing that the training text never uses."""
    template = rng.choice(fact.phrasings.held_out)
    text = fill(template, fact)
    if not is_sentence(template):
        wrappers = rng.choice((CLAUSE_WRAPPERS.train, CLAUSE_WRAPPERS.held_out))
        text = rng.choice(wrappers).format(text)
    elif rng.random() < 0.4 and not text.endswith("!"):
        text = wrap(rng.choice(SENTENCE_WRAPPERS.held_out), text)
    return Question(capitalise(text), fact)


def held_out_questions(count: int = 200, seed: int = 2024) -> list[Question]:
    """The test set: `count` different questions, over half about the world, the rest about LLMs.

    Args:
        count: Number of questions.
        seed: The same seed gives the same questions.
    """
    rng = Random(seed)
    shares = {"world": 11, "inference": 7, "small talk": 2}
    questions: dict[str, Question] = {}
    while len(questions) < count:
        topic = rng.choices(list(shares), list(shares.values()))[0]
        question = held_out_question(rng, rng.choice(FACTS[topic]))
        questions.setdefault(question.text, question)
    return list(questions.values())
