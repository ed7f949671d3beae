"""The small world the bundled model knows: Willow Bay, its people, places and animals.

This module holds facts only, as plain tables. It does not know how one asks for a fact
(`questions.py`) or tells a story about it (`stories.py`). Two people never share a job or a pet
name, so that every question has one right answer.
"""

from dataclasses import dataclass

VILLAGE = "Willow Bay"


@dataclass(frozen=True)
class Person:
    """Somebody who lives in Willow Bay."""

    name: str
    pronoun: str  # "she" or "he"
    job: str
    home: str  # name of a Place
    food: str
    hobby: str
    pet: str
    pet_name: str
    coat: str  # the colour of the coat they always wear
    friend: str


@dataclass(frozen=True)
class Place:
    """Somewhere in Willow Bay."""

    name: str
    location: str
    feature: str  # what one finds there


@dataclass(frozen=True)
class Animal:
    """A kind of animal, as Willow Bay knows it."""

    name: str
    sound: str
    food: str
    home: str


_PEOPLE = """
Mira|she|baker|mill|apple pie|painting|cat|Pepper|red
Tom|he|fisherman|harbour|fish soup|carving wood|dog|Biscuit|blue
Anna|she|teacher|school|pancakes|reading|rabbit|Clover|green
Ben|he|gardener|garden|carrot cake|playing the flute|hedgehog|Button|brown
Clara|she|doctor|square|tomato soup|swimming|parrot|Kiwi|white
Oscar|he|lighthouse keeper|lighthouse|bread and cheese|watching the stars|gull|Captain|yellow
Lina|she|librarian|library|honey cake|writing poems|owl|Hazel|purple
Felix|he|clockmaker|bridge|noodles|playing chess|mouse|Tick|grey
Rosa|she|farmer|farm|corn bread|dancing|horse|Thunder|orange
Hugo|he|blacksmith|forge|roast potatoes|lifting stones|goat|Hammer|black
Ella|she|tailor|market|plum jam|singing|sheep|Cotton|pink
Noah|he|mail carrier|station|peanut butter|running|pony|Rocket|golden
Ivy|she|beekeeper|meadow|honey bread|picking flowers|duck|Puddle|silver
Max|he|carpenter|forest|mushroom stew|climbing trees|squirrel|Acorn|dark green
Nora|she|musician|theatre|strawberries|playing the violin|canary|Melody|light blue
Paul|he|cook|inn|onion soup|collecting spoons|pig|Truffle|striped
""".strip()

_PLACES = """
mill|beside the river|a big wooden wheel
harbour|in the south of the village|many small boats
school|behind the square|one classroom with yellow chairs
garden|next to the school|roses and a stone bench
square|in the middle of the village|an old fountain
lighthouse|on the cliff|a lamp that can be seen for miles
library|across from the square|three thousand books
bridge|over the river|two stone lions
farm|in the north of the village|a red barn
forge|at the end of the long road|a fire that never goes out
market|on the wide street|fruit, cloth and warm bread
station|in the east of the village|a little green train
meadow|west of the farm|a hundred beehives
forest|behind the hills|tall pine trees
theatre|near the market|a stage with a blue curtain
inn|near the harbour|a long table by the fire
""".strip()

_ANIMALS = """
cat|meow|fish|on a warm cushion
dog|woof|bones|in a kennel
cow|moo|grass|in the barn
duck|quack|bread crumbs|on the pond
sheep|baa|clover|in the field
horse|neigh|hay|in the stable
pig|oink|potatoes|in the mud
owl|hoot|mice|in an old oak tree
bee|buzz|nectar|in a hive
frog|croak|flies|in the reeds
mouse|squeak|cheese|in a hole in the wall
hen|cluck|corn|in the hen house
""".strip()


def _people() -> tuple[Person, ...]:
    rows = [line.split("|") for line in _PEOPLE.splitlines()]
    # Neighbours in the table are best friends of each other: 0 with 1, 2 with 3, ...
    return tuple(Person(*row, friend=rows[i ^ 1][0]) for i, row in enumerate(rows))


PEOPLE = _people()
NAMES = frozenset(
    word for person in PEOPLE for word in (person.name, f"{person.name}'s", person.pet_name)
)
PLACES = tuple(Place(*line.split("|")) for line in _PLACES.splitlines())
ANIMALS = tuple(Animal(*line.split("|")) for line in _ANIMALS.splitlines())

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
COLOURS = {
    "the sky": "blue",
    "grass": "green",
    "snow": "white",
    "a ripe banana": "yellow",
    "a strawberry": "red",
    "a carrot": "orange",
    "coal": "black",
    "the sea": "blue",
}
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "fast": "slow",
    "up": "down",
    "early": "late",
    "happy": "sad",
    "full": "empty",
    "open": "closed",
    "old": "new",
    "dark": "light",
}
OBJECTS = (
    "lantern", "kite", "basket", "key", "map", "bell", "drum", "scarf", "teapot", "letter", "coin",
    "feather", "ladder", "umbrella", "button", "shell", "hat", "rope", "pebble", "mirror",
)  # fmt: skip


def article(noun: str) -> str:
    """Puts "a" or "an" before a noun."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
