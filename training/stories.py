"""Short stories about Willow Bay, made from plots whose sentences vary.

A plot is a list of beats; each beat offers several sentences, and a story takes one of each
(`plots.py`). The people in it keep their facts of `world.py`: Mira is always the baker. This module
does not know about chats: see `corpus.py`.
"""

from random import Random

from training import world
from training.choices import choose
from training.plots import OPENINGS, PLOTS

_WEATHER = ("sunny", "rainy", "windy", "cold", "warm", "grey", "bright", "foggy", "quiet")
_SKIES = ("blue", "grey", "bright", "cloudy", "clear", "red")
_SMALL_THINGS = (
    "key", "bell", "scarf", "letter", "coin", "feather", "button", "shell", "hat", "map", "pebble",
    "mirror", "spoon", "whistle",
)  # fmt: skip
_TREASURES = ("key", "coin", "bell", "mirror", "lantern", "button", "ring", "spoon", "whistle")
# Wild and farm animals one may meet on a path, with food that one may carry in a bag.
_ON_THE_WAY = ("cat", "dog", "cow", "duck", "sheep", "horse", "pig", "mouse", "hen")
_PRONOUNS = {"she": ("She", "her", "her"), "he": ("He", "him", "his")}
_BY_NAME = {person.name: person for person in world.PEOPLE}

REQUESTS = (
    "Tell me a story.", "Tell me a short story.", "Please tell me a story.", "Write a story.",
    "Can you tell me a story?", "I would like to hear a story.", "A story, please.",
    "Tell me a bedtime story.", "Write a short story.", "Do you know a story?", "Make up a story.",
    "Tell me a fairy tale.", "Tell me a long story.", "Story time!", "Tell a story.",
    "Could you tell me a story?", "Tell me another story.", "Write me a story.", "One more story!",
    "I want to hear a story.", "Tell us a story.", "Tell me a tale.", "Read me a story.",
    "Write a fairy tale.", "Invent a story.", "Tell me a nice story.", "Tell me a funny story.",
    "Do you know a fairy tale?", "Tell me a story about Willow Bay.", "Tell me a story, please.",
    "Tell me a story about the village.", "Tell me a story about two friends.",
    "Tell me a story about friendship.", "Tell me a story about the sea.",
)  # fmt: skip
REQUESTS_ABOUT = (
    "Tell me a story about {}.", "Tell me a short story about {}.", "Write a story about {}.",
    "Can you tell me a story about {}?", "I would like to hear a story about {}.",
    "Please tell me a story about {}.", "Write a short story about {}.",
    "A story about {}, please.", "Do you know a story about {}?", "Tell me a tale about {}.",
    "Tell me a fairy tale about {}.", "Tell me a long story about {}.", "Write me a story with {}.",
    "Make up a story about {}.", "Tell a story about {}.", "Could you tell me a story about {}?",
    "Tell me a story with {}.", "I want to hear a story about {}.", "Invent a story about {}.",
)  # fmt: skip


def _cast(rng: Random, person: world.Person) -> dict[str, str]:
    """Everything the sentences of one story may mention."""
    friend = _BY_NAME[person.friend]
    pets = (person.pet, friend.pet)  # the animal on the way must not be mistaken for a pet
    animal = rng.choice([a for a in world.ANIMALS if a.name in _ON_THE_WAY and a.name not in pets])
    place = rng.choice([p.name for p in world.PLACES if p.name != person.home])
    thing, treasure = rng.choice(_SMALL_THINGS), rng.choice(_TREASURES)
    day, feast_day = rng.sample(world.DAYS, 2)
    return _about(person, friend) | {
        "thing": thing, "a_thing": world.article(thing),
        "treasure": treasure, "a_treasure": world.article(treasure),
        "animal": animal.name, "a_animal": world.article(animal.name), "sound": animal.sound,
        "animal_food": animal.food, "place": place, "weather": rng.choice(_WEATHER),
        "sky": rng.choice(_SKIES), "day": day, "feast_day": feast_day,
    }  # fmt: skip


def _about(person: world.Person, friend: world.Person) -> dict[str, str]:
    """What a story may say of its two people."""
    capital, him, his = _PRONOUNS[person.pronoun]
    return {key: str(value) for key, value in vars(person).items()} | {
        "Name": person.name, "he": person.pronoun, "He": capital, "him": him, "his": his,
        "His": his.title(), "a_job": world.article(person.job), "a_pet": world.article(person.pet),
        "woman": {"she": "woman", "he": "man"}[person.pronoun],
        "friend_job": friend.job, "friend_food": friend.food,
        "friend_his": _PRONOUNS[friend.pronoun][2],
    }  # fmt: skip


def _tell(rng: Random, cast: dict[str, str]) -> str:
    beats = (OPENINGS, *rng.choice(PLOTS))
    return " ".join(choose(rng, rng.choice(beat)).format_map(cast) for beat in beats)


def story(rng: Random) -> str:
    """Tells one story of 50 to 140 words."""
    return _tell(rng, _cast(rng, rng.choice(world.PEOPLE)))


def _subjects(cast: dict[str, str], text: str) -> list[str]:
    """What one may ask for to be told this story: its hero, animals, things and places."""
    name, job = cast["Name"], cast["job"]
    subjects = [name, f"the {job}", f"{name} the {job}", f"{name} and {cast['friend']}"]
    if cast["pet_name"] in text:
        subjects += [cast["a_pet"], cast["pet_name"], f"{cast['pet_name']} the {cast['pet']}"] * 2
    mentioned = {"animal": "a_animal", "thing": "a_thing", "treasure": "a_treasure"}
    subjects += [cast[a_noun] for noun, a_noun in mentioned.items() if f" {cast[noun]}" in text]
    if f"the {cast['place']}" in text:
        subjects += [f"the {cast['place']}", world.article(cast["place"])]
    events = ("storm", "journey", "feast", "birthday", "kitchen", "ghost", "race", "contest")
    subjects += [f"a {event}" for event in events if event in text]
    return subjects if cast["friend"] in text else [s for s in subjects if " and " not in s]


def story_request(rng: Random) -> tuple[str, str]:
    """A request for a story, and the story."""
    cast = _cast(rng, rng.choice(world.PEOPLE))
    text = _tell(rng, cast)
    if rng.random() < 0.35:
        return rng.choice(REQUESTS), text
    return rng.choice(REQUESTS_ABOUT).format(rng.choice(_subjects(cast, text))), text
