"""Short stories about Willow Bay, made from plots whose sentences vary.

A plot is a list of beats; each beat offers several sentences (separated by `|`), and a story takes
one of each. The people in it keep their facts of `world.py`: Mira is always the baker. This module
does not know about chats: see `corpus.py`.
"""

from random import Random

from training import world

_OPENINGS = """
Once upon a time, {Name} the {job} lived near the {home} in Willow Bay.|One {weather} morning, {Name} the {job} woke up early.|It was a {weather} day in Willow Bay, and {Name} the {job} had nothing to do.|There was once {a_job} called {Name}, who lived near the {home} of Willow Bay.|On a {weather} {day}, {Name} the {job} put on {his} {coat} coat and went outside.|Long ago, in the village of Willow Bay, there lived {a_job} called {Name}.|Early in the morning, {Name} the {job} opened the door and looked at the {sky} sky.
"""  # noqa: E501

_PLOTS = """
{He} wanted to show {his} friend {friend} a new {thing}.|{He} had a new {thing} and was very proud of it.|{He} carried {his} favourite {thing} in {his} bag.
But when {he} came to the {place}, the {thing} was gone.|But at the {place}, {he} saw that the {thing} was not there any more.|But on the way to the {place}, the {thing} fell out of {his} bag.
"Oh no!" said {Name}. "I must have lost it on the way."|{Name} was very sad and sat down on a stone.|{Name} looked under every bench and behind every door.
{friend} the {friend_job} came by and asked what had happened.|Then {friend} the {friend_job} came along with some {friend_food}.|Soon {friend} the {friend_job} heard about it and came to help.
Together they looked everywhere, but they could not find it.|They walked back the whole way and asked everyone they met.|They asked {a_animal} by the road, but it only said {sound}.
At last {pet_name} the {pet} came along with the {thing}.|In the end, they found the {thing} under {pet_name} the {pet}, who was fast asleep.|Then they saw {pet_name} the {pet}, who was playing with the {thing}.
{Name} laughed and thanked everyone.|"Thank you," said {Name}, and {he} gave {friend} a big hug.|They both laughed so loudly that everyone could hear it.
After that, {Name} never lost the {thing} again.|That evening, they ate {food} together and told the story again and again.|From that day on, {Name} always kept the {thing} in the pocket of {his} {coat} coat.

{He} had a plan: {he} wanted to prepare {food} for the whole village.|It was the birthday of {his} friend {friend}, and {Name} wanted to prepare {friend_food}.|{He} wanted to invite all the neighbours for {food}.
But there was nothing left in the kitchen.|But the kitchen was empty, and the guests would come soon.|But all the jars were empty, and there was not even salt.
So {he} walked to the {place} to ask for help.|So {he} took a basket and walked through the village.|So {he} went from house to house and asked the neighbours.
One neighbour gave {him} flour, and another gave {him} butter.|{friend} the {friend_job} gave {him} everything {he} needed and a smile as well.|At the {place}, someone gave {him} a full basket.
{Name} worked in the kitchen all day, and {pet_name} the {pet} watched.|{Name} stirred and tasted and sang a little song.|It took three hours, and the whole street smelled wonderful.
In the evening, everyone sat at a long table.|When the bell rang, all the neighbours came.|When the sun went down, the table was full.
{friend} the {friend_job} took the first bite and smiled.|"This is the best meal of the year," said {friend} the {friend_job}.|Nobody said a word, because everyone was eating.
{Name} was tired but very happy.|Even {pet_name} the {pet} got a small plate and was happy.|And so a hard day became a good day after all.

In the evening, a big storm came.|Soon a strong wind came from the sea, and the storm began.|Then dark clouds hung over the {place}, and a storm began.
{pet_name} the {pet} was afraid and ran away.|When {he} called {pet_name} the {pet}, nobody came.|The wind opened the door, and {pet_name} the {pet} was gone.
{Name} took a lantern and went out into the rain.|"I have to find {pet_name}," said {Name}, and {he} ran out.|{Name} went outside and called and called, but nobody answered.
At the {place}, {he} met {his} friend {friend}.|Near the {place}, {his} friend {friend} was closing a window.|{His} friend {friend} heard {him} and came with a lamp.
"I will help you," said {friend}. "Two people see more than one."|"Let us go together," said {friend}, and they took each other by the hand.|"I know where animals hide in the rain," said {friend}.
They looked behind the barn and under the boats.|They followed small wet tracks along the road.|They listened, and then they heard a very quiet sound.
There sat {pet_name} under an old tree, wet and cold.|There, in a dry corner, was {pet_name}.|Behind a wall they found {pet_name}, who was safe and sound.
{Name} took {pet_name} home and made a warm fire.|They all went home and drank hot milk.|The storm ended, and {pet_name} slept well until the morning.

{He} found {a_treasure} on the way to the {place}.|Something was shining in the grass near the {place}. It was {a_treasure}.|At the {place}, {he} saw {a_treasure} that nobody seemed to own.
It was old and very beautiful.|It was small, but it shone like gold.|There was a name on it, but {he} could not read it.
{Name} asked {his} friend {friend}, but {friend} had never seen it.|{Name} showed it to {his} friend {friend}, who only shook {friend_his} head.|"Is this yours?" {he} asked {his} friend {friend}. "No," said {friend}.
So they looked into many old books.|Then they asked everyone in the village.|They asked at the inn, at the market and at the station.
At last they heard that Mrs. Finch, the mayor, had lost {a_treasure} many years ago.|Someone told them about the mayor, Mrs. Finch, who had lost {a_treasure} as a child.|Everyone said the same thing: it belonged to Mrs. Finch, the mayor.
They brought it to the old woman at once.|Before dinner, they knocked at her door.|The next day, they walked to her house with the {treasure}.
Mrs. Finch was so happy that she cried a little.|"I have missed it for fifty years," said Mrs. Finch.|Mrs. Finch smiled and invited them in for tea.
"An honest friend is worth more than gold," she said.|And {Name} learned that giving something back can be better than keeping it.|On the way home, {Name} and {friend} felt rich, although their pockets were empty.

{He} loved {hobby} more than anything else.|All day {he} thought about {hobby}.|Nothing made {him} as happy as {hobby}.
But {he} was too shy to do it when others were watching.|But {he} believed that {he} was not good enough.|But {he} had never shown it to anyone.
One evening, {his} friend {friend} saw {him} near the {place}.|Then {his} friend {friend} told {him} about a big feast at the {place}.|Then {his} friend {friend} had an idea and came to {him}.
"You should show it to everyone at the feast," said {friend}.|"Come to the feast on {feast_day}," said {friend}, "and show us what you can do."|"I believe in you," said {friend}. "Show it to us at the feast."
{Name} practised every day for a week.|{Name} was afraid, but {he} said yes.|For three nights {Name} could not sleep.
When the day of the feast came, the whole village was there.|At the feast, all the people came and waited.|Then the big day came, and even {pet_name} the {pet} was there.
At first {his} hands shook, but soon {he} forgot everyone.|{He} took a deep breath and began.|{He} closed {his} eyes for a moment, and then it was easy.
In the end, they all clapped and cheered.|When it was over, everyone wanted to learn it too.|"I knew it," said {friend}, and {Name} was happier than ever before.

{He} wanted to go on a little journey with {his} friend {friend}.|{His} friend {friend} was waiting for {him} at the {place}, because they wanted to go on a journey.|{He} had heard of a secret path behind the {place} and wanted to see it with {his} friend {friend}.
They packed bread, water and {a_thing}.|They took some {food} and some {friend_food} with them.|{pet_name} the {pet} came along, of course.
First they walked along the river, and then up the hills.|They walked for an hour and sang songs.|The path was narrow, and the trees were very tall.
On the way, they met {a_animal}, and it said {sound}.|Suddenly {a_animal} stood in front of them and said {sound}.|Behind a stone they heard a loud {sound}. It was {a_animal}.
It looked hungry, so they gave it some {animal_food}.|"It must like {animal_food}," said {Name}, and {he} was right.|{friend} had some {animal_food} in a bag and gave it to the {animal}.
The {animal} was thankful and showed them the way.|After that, the {animal} followed them like an old friend.|Then the {animal} went ahead, and they followed it.
At the top, they could see the whole village and the sea.|At the end of the path, they found a quiet lake.|Behind the last tree, there was a field full of flowers.
They stayed until the first stars came out.|They sat there for a long time and said nothing.|"Let us come back every year," said {friend}, and they did.
"""  # noqa: E501

OPENINGS = tuple(_OPENINGS.strip().split("|"))
PLOTS = tuple(
    tuple(tuple(beat.split("|")) for beat in plot.splitlines())
    for plot in _PLOTS.strip().split("\n\n")
)

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
        "friend_job": friend.job, "friend_food": friend.food,
        "friend_his": _PRONOUNS[friend.pronoun][2],
    }  # fmt: skip


def _tell(rng: Random, cast: dict[str, str]) -> str:
    beats = (OPENINGS, *rng.choice(PLOTS))
    return " ".join(rng.choice(beat).format_map(cast) for beat in beats)


def story(rng: Random) -> str:
    """Tells one story of 60 to 140 words."""
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
    events = ("storm", "journey", "feast", "birthday", "kitchen")
    subjects += [f"a {event}" for event in events if event in text]
    return subjects if cast["friend"] in text else [s for s in subjects if " and " not in s]


def story_request(rng: Random) -> tuple[str, str]:
    """A request for a story, and the story."""
    cast = _cast(rng, rng.choice(world.PEOPLE))
    text = _tell(rng, cast)
    if rng.random() < 0.35:
        return rng.choice(REQUESTS), text
    return rng.choice(REQUESTS_ABOUT).format(rng.choice(_subjects(cast, text))), text
