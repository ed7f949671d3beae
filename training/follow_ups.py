"""Conversations that stay with one subject, or with one question.

"Who is Tom?", then "What is his pet called?" and "And Anna?"; "What is LRU?", then "Why?" and "And
FIFO?". What follows only makes sense together with what came before, so the model has to look back.
"""

import re
from random import Random

from training.choices import choose
from training.more_facts import LESSON_FACTS
from training.noise import capitalise
from training.phrasings import PHRASINGS
from training.questions import (
    FACTS,
    Fact,
    dress,
    is_sentence,
    training_phrasing,
    training_question,
)

_PERSONAL = ("job", "home", "food", "hobby", "pet", "friend", "coat", "pet_name")
_STARTS = ("{}", "{}", "{}", "And {}", "And, {}", "So {}")
_SUBJECTS = ("name", "x", "place", "a_animal")
_KINDS = {id(phrasings): kind for kind, phrasings in PHRASINGS.items()}

# What one may say instead of a whole question, once the subject is known.
_SHORT = {
    "why": "[And why|Why|But why|Why is that|Why is it needed|Why do we need it|Why do we need that"
    "|What for|What is it good for|And what is it good for|What is that good for|Why that"
    "|What is the use of it|What is the point|Which problem does it solve|Why is it useful]?",
    "how": "[And how|How|How does it work|How is it done|How does that work|And how does it work"
    "|How exactly|How is that done|How is it used|How do I use it|How does one use that"
    "|And how is it done|How does it do that]?",
}
_MORE = (
    "[Tell me more|More, please|Go on|Can you say more|Say more|More about it, please|Continue]."
)
_OTHER = (
    "[And|What about|And what about|How about|Now|And now|And what is with|Okay, and] {}"
    "[?|?|?|, please?|, then?]"
)


def _by_subject(facts: tuple[Fact, ...], key: str) -> list[list[Fact]]:
    """The facts about each person, place or term, where there are several."""
    families: dict[str, list[Fact]] = {}
    for fact in facts:
        subject = fact.slots.get(key, "+")  # plurals would need other verbs than "it" has
        if not subject.startswith("+") and _KINDS.get(id(fact.phrasings)) != "difference":
            families.setdefault(subject, []).append(fact)
    return [family for family in families.values() if len(family) > 1]


_TERM_FACTS = (*FACTS["inference"], *LESSON_FACTS)
_FAMILIES = {key: _by_subject((*FACTS["world"], *_TERM_FACTS), key) for key in _SUBJECTS}
_FACTS_OF = {family[0].slots["name"]: family for family in _FAMILIES["name"]}


def _by_kind() -> list[list[Fact]]:
    """The facts that answer one and the same question about different subjects."""
    kinds: dict[str, list[Fact]] = {}
    for fact in (*FACTS["world"], *_TERM_FACTS):
        kind = _KINDS.get(id(fact.phrasings), "")
        if _subject(fact) and kind not in ("why", "how", "who_job", "owner"):
            kinds.setdefault(kind, []).append(fact)
    return [facts for facts in kinds.values() if len(facts) > 4]


def _subject(fact: Fact) -> str:
    for key in _SUBJECTS:
        if key in fact.slots:
            subject = fact.slots[key].removeprefix("+")
            return f"the {subject}" if key == "place" else subject
    return ""


_SAME_QUESTION = _by_kind()


def _with_pronouns(fact: Fact, template: str) -> str | None:
    """The question with "he", "his" or "it" for its subject; None where that does not work."""
    for slot in ("{x}", "{a_animal}", "the {place}"):
        if slot in template:
            template = template.replace("at the {place}", "there").replace(slot, "it", 1)
            return None if "{" in template else template
    if _KINDS.get(id(fact.phrasings)) not in _PERSONAL:
        return None
    he = fact.slots["pronoun"]
    text = template.replace("{name}'s", {"he": "his", "she": "her"}[he])
    text = re.sub(r"(do|does|would|did|is|can) \{name\}", rf"\1 {he}", text)
    return None if "{name}" in text else text.format_map(fact.slots)


def _follow_up(rng: Random, fact: Fact) -> tuple[str, str] | None:
    """A question that says "it" or "she", or, for a reason, no more than "Why?"."""
    kind = _KINDS.get(id(fact.phrasings), "")
    if kind in _SHORT and rng.random() < 0.5:
        return dress(rng, choose(rng, _SHORT[kind])), fact.answer
    if kind in _SHORT and rng.random() < 0.1:
        return choose(rng, _MORE), fact.answer
    for _ in range(5):
        template = training_phrasing(rng, fact.phrasings)
        text = template[-1] == "?" and _with_pronouns(fact, template)
        if text:
            return dress(rng, rng.choice(_STARTS).format(text)), fact.answer
    return None


def _same_subject(rng: Random) -> list[tuple[str, str]]:
    family = rng.choice(_FAMILIES[rng.choice(("name", "name", "x", "x", "x", "place", "a_animal"))])
    first = rng.choice(family)
    exchanges = [(training_question(rng, first), first.alone)]
    if _KINDS.get(id(first.phrasings)) == "friend" and rng.random() < 0.6:
        family = _FACTS_OF[first.slots["friend"]]  # "his" is now the friend's: they are she and he
    for fact in rng.sample(family, min(len(family), rng.randrange(2, 5))):
        if fact.answer != first.answer and (exchange := _follow_up(rng, fact)):
            exchanges.append(exchange)
    return exchanges


def _same_question(rng: Random) -> list[tuple[str, str]]:
    facts = rng.sample(rng.choice(_SAME_QUESTION), rng.randrange(2, 4))
    exchanges = [(training_question(rng, facts[0]), facts[0].alone)]
    for fact in facts[1:]:
        exchanges.append((dress(rng, choose(rng, _OTHER).format(_subject(fact))), fact.answer))
    return exchanges


_INTRODUCTIONS = {
    "name": "[Suppose|Imagine|Say|If|When|As soon as|Now that|Because] {} "
    "[comes over|is hungry|is tired|goes out|has a free hour|is gone|has a birthday|waits outside"
    "|gets up|closes the door|has visitors|is happy|sits down|comes home|stops working|feels lonely"
    "|needs something|is bored],",
    "x": "[I read about|Everybody talks about|We use|I see|They praise|They mentioned|There is"
    "|Our engine has|You mentioned|I do not get|The lesson is about|I have to present|My topic is]"
    " {}[.|| on this page.| in the text.| at work.| all the time.]",
    "place": "[I go to|We walk to|Tomorrow I will be at|They talk about|Everybody likes] the {}.",
    "a_animal": "[There is|I see|We have|Imagine|I will buy|My aunt has] {}.",
}


def introduced(rng: Random) -> tuple[str, str]:
    """One question whose subject is named before: "If Tom is tired, what does he like to do?"."""
    while True:
        key = rng.choice(("name", "name", "x", "x", "place", "a_animal"))
        fact = rng.choice(rng.choice(_FAMILIES[key]))
        template = training_phrasing(rng, fact.phrasings)
        text = _with_pronouns(fact, template)
        if text and is_sentence(text):
            start = choose(rng, _INTRODUCTIONS[key]).format(fact.slots[key])
            text = text[0].lower() + text[1:] if start.endswith(",") else capitalise(text)
            return dress(rng, f"{start} {text}"), fact.alone


def follow_ups(rng: Random) -> list[tuple[str, str]]:
    """Draws a conversation: a full question, then up to three that refer back to it."""
    return _same_question(rng) if rng.random() < 0.4 else _same_subject(rng)
