"""Conversations that stay with one subject: "Who is Tom?", then "What is his pet called?".

The second question only makes sense together with the first one, so the model has to look back.
"""

import re
from random import Random

from training.phrasings import PHRASINGS
from training.questions import FACTS, Fact, dress, training_question

_PERSONAL = ("job", "home", "food", "hobby", "pet", "friend", "coat", "pet_name")
_STARTS = ("{}", "{}", "{}", "And {}", "And, {}", "So {}")


def _families(topic: str, subject: str) -> list[list[Fact]]:
    """The facts about each person, or about each name of a term, where there are several."""
    families: dict[str, list[Fact]] = {}
    for fact in FACTS[topic]:
        name = fact.slots.get(subject, "+")  # plurals would need other verbs than "it" has
        if not name.startswith("+"):
            families.setdefault(name, []).append(fact)
    return [family for family in families.values() if len(family) > 1]


_FAMILIES = (_families("world", "name"), _families("inference", "x"))


def _with_pronouns(fact: Fact, template: str) -> str | None:
    """The question with "he", "his" or "it" for its subject; None where that does not work."""
    if "x" in fact.slots:
        return template.replace("{x}", "it") if template.count("{x}") == 1 else None
    if not any(fact.phrasings is PHRASINGS[kind] for kind in _PERSONAL):
        return None
    he = fact.slots["pronoun"]
    text = template.replace("{name}'s", {"he": "his", "she": "her"}[he])
    text = re.sub(r"(do|does|would) \{name\}", rf"\1 {he}", text)
    return None if "{name}" in text else text.format_map(fact.slots)


def _follow_up(rng: Random, fact: Fact) -> tuple[str, str] | None:
    template = rng.choice([t for t in fact.phrasings.train if t[-1] == "?"])
    text = _with_pronouns(fact, template)
    return text and (dress(rng, rng.choice(_STARTS).format(text)), fact.answer)


def follow_ups(rng: Random) -> list[tuple[str, str]]:
    """Draws a conversation: a full question, then up to three that refer back to it."""
    family = rng.choice(rng.choice(_FAMILIES))
    first = rng.choice(family)
    exchanges = [(training_question(rng, first), first.answer)]
    for fact in rng.sample(family, min(len(family), rng.randrange(2, 5))):
        if fact is not first and (exchange := _follow_up(rng, fact)):
            exchanges.append(exchange)
    return exchanges
