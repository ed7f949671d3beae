"""Short stories about Willow Bay, made from plots whose sentences vary.

A plot is a list of beats; each beat offers several sentences (separated by `|`), and a story takes
one of each. The people in it keep their facts of `world.py`: Mira is always the baker. This module
does not know about chats: see `corpus.py`.
"""

from random import Random

from nanovllm_edu.tiny import world

_OPENINGS = """
Once upon a time, {Name} the {job} lived near the {home} in Willow Bay.|One {weather} morning, {Name} the {job} woke up early.|It was a {weather} day in Willow Bay, and {Name} had nothing to do.|There was once {a_job} called {Name}, who lived near the {home} of Willow Bay.|On a {weather} {day}, {Name} put on {his} {coat} coat and went outside.|Long ago, in the village of Willow Bay, there lived {a_job} called {Name}.|Early in the morning, {Name} opened the door and looked at the {weather} sky.
"""  # noqa: E501

_PLOTS = """
{He} wanted to show {friend} {his} new {thing}.|{He} had found {a_thing} and wanted to know whose it was.|{He} carried {a_thing} under {his} arm.
But when {he} came to the {place}, the {thing} was gone.|But at the {place}, {he} saw that the {thing} was not there any more.|Near the {place}, {he} stopped, because the {thing} had fallen out of {his} bag.
"Oh no!" said {Name}. "I must have lost it on the way."|{Name} was very sad and sat down on a stone.|{Name} looked under every bench and behind every door.
{friend} came by and asked what had happened.|Then {friend} came along with a basket of {friend_food}.|Soon {friend} heard about it and came to help.
Together they looked everywhere, but they could not find it.|They walked back the whole way and asked everyone they met.|They asked the {animal} by the road, but it only said {sound}.
At last {pet_name} the {pet} came running with the {thing}.|In the end, they found the {thing} under {pet_name} the {pet}, who was fast asleep.|Then they saw {pet_name} the {pet}, who was playing with the {thing}.
{Name} laughed and thanked everyone.|"Thank you," said {Name}, and {he} gave {friend} a big hug.|They both laughed so loudly that the {animal} ran away.
After that, {Name} never lost the {thing} again.|That evening, they ate {food} together and told the story again and again.|From that day on, {Name} always tied the {thing} to {his} {coat} coat.

{He} had a plan: {he} wanted to make {food} for the whole village.|It was the birthday of {friend}, and {Name} wanted to make {friend_food}.|{He} was hungry and dreamed of {food}.
But there was nothing left in the kitchen.|But the kitchen was empty, and the market was closed.|But the fire would not burn, and the pot had a hole.
So {he} walked to the {place} to ask for help.|{He} took {a_thing} and walked through the village.|{He} went from house to house and asked the neighbours.
One neighbour gave {him} flour, and another gave {him} butter.|{friend} gave {him} everything {he} needed and a smile as well.|At the {place}, someone gave {him} a full basket.
{Name} cooked all day, and {pet_name} the {pet} watched.|{Name} stirred and tasted and sang a little song.|It took three hours, and the whole street smelled wonderful.
In the evening, everyone sat at a long table.|When the bell rang, all the neighbours came.|When the sun went down, the table was full.
{friend} took the first bite and smiled.|"This is the best meal of the year," said {friend}.|Nobody said a word, because everyone was eating.
{Name} was tired but very happy.|Even {pet_name} got a small plate and was happy.|And so a bad day became a good day after all.

In the night, there had been a big storm.|A strong wind had come from the sea.|Dark clouds hung over the {place}, and it began to rain.
{pet_name} the {pet} was afraid and ran away.|When {he} looked for {pet_name} the {pet}, the bed was empty.|The wind had opened the door, and {pet_name} the {pet} was gone.
{Name} took a lantern and went out into the rain.|"I have to find {pet_name}," said {Name}, and {he} ran out.|{Name} called and called, but nobody answered.
At the {place}, {he} met {friend}.|Near the {place}, {friend} was closing a window.|{friend} heard {him} and came with a lamp.
"I will help you," said {friend}. "Two people see more than one."|"Let us go together," said {friend}, and they took each other by the hand.|"I know where animals hide in the rain," said {friend}.
They looked behind the barn and under the boats.|They followed small wet tracks along the road.|They listened, and then they heard a very quiet sound.
There sat {pet_name} under an old tree, wet and cold.|{pet_name} was sitting in a dry corner of the {home}.|Behind a wall they found {pet_name}, who was safe and sound.
{Name} took {pet_name} home and made a warm fire.|They all went home and drank hot milk.|The storm ended, and {pet_name} slept on {his} {coat} coat until the morning.

{He} found {a_thing} on the way to the {place}.|Something was shining in the grass near the {place}. It was {a_thing}.|At the {place}, {he} saw {a_thing} that nobody seemed to own.
It was old and very beautiful.|It was small, but it shone like gold.|There was a name on it, but {he} could not read it.
{Name} asked {friend}, but {friend} had never seen it.|{Name} showed it to {friend}, who only shook {friend_his} head.|"Is this yours?" {he} asked {friend}. "No," said {friend}.
So they went to the library to look for an answer.|Then they asked the oldest woman in the village.|They asked at the inn, at the market and at the station.
There they heard that the mayor had lost {a_thing} many years ago.|There someone told them about the mayor, Mrs. Finch, who had lost {a_thing} as a child.|Everyone said the same thing: it belonged to Mrs. Finch.
They brought it to the old woman at once.|Before dinner, they knocked at her door.|The next day, they walked to her house with the {thing}.
Mrs. Finch was so happy that she cried a little.|"I have missed it for fifty years," said Mrs. Finch.|Mrs. Finch smiled and invited them in for tea.
"An honest friend is worth more than gold," she said.|And {Name} learned that giving something back can be better than keeping it.|On the way home, {Name} and {friend} felt rich, although their pockets were empty.

{He} loved {hobby} more than anything else.|All day {he} thought about {hobby}.|Nothing made {him} as happy as {hobby}.
But {he} was too shy to do it when others were watching.|But {he} believed that {he} was not good enough.|But in the last weeks there had been too much work.
One evening, {friend} saw {him} near the {place}.|Then a letter came: there would be a big feast at the {place}.|Then {friend} had an idea and went to {him}.
"You should show it to everyone," said {friend}.|"Come to the feast," said {friend}, "and show us what you can do."|"I believe in you," said {friend}.
{Name} practised every day for a week.|{Name} was afraid, but {he} said yes.|For three nights {Name} could not sleep.
When the day came, the whole village was there.|On {day}, all the people came and waited.|Then the big evening came, and even {pet_name} the {pet} was there.
At first {his} hands shook, but soon {he} forgot everyone.|{He} took a deep breath and began.|{He} closed {his} eyes for a moment, and then it was easy.
In the end, they all clapped and cheered.|When it was over, everyone wanted to learn it too.|"I knew it," said {friend}, and {he} was happier than ever before.

{He} wanted to go on a little journey with {friend}.|{friend} was waiting for {him} at the {place}.|{He} had heard of a secret path behind the {place}.
They packed bread, water and {a_thing}.|They took {food} and {friend_food} with them.|{pet_name} the {pet} came along, of course.
First they walked along the river, and then up the hills.|They walked for an hour and sang songs.|The path was narrow, and the trees were very tall.
On the way, they met {a_animal}, and it said {sound}.|Suddenly {a_animal} stood in front of them and said {sound}.|Behind a stone they heard a loud {sound}. It was {a_animal}.
It looked hungry, so they gave it {animal_food}.|"It must like {animal_food}," said {Name}, and {he} was right.|{friend} had some {animal_food} in a pocket and gave it away.
The {animal} was thankful and showed them the way.|After that, the {animal} followed them like a dog.|Then the {animal} went ahead, and they followed it.
At the top, they could see the whole village and the sea.|At the end of the path, they found a quiet lake.|Behind the last tree, there was a field full of flowers.
They stayed until the first stars came out.|They sat there for a long time and said nothing.|"Let us come back every year," said {friend}, and they did.
"""  # noqa: E501

OPENINGS = tuple(_OPENINGS.strip().split("|"))
PLOTS = tuple(
    tuple(tuple(beat.split("|")) for beat in plot.splitlines())
    for plot in _PLOTS.strip().split("\n\n")
)

_WEATHER = ("sunny", "rainy", "windy", "cold", "warm", "grey", "bright", "foggy", "quiet")
_PRONOUNS = {"she": ("She", "her", "her"), "he": ("He", "him", "his")}
_BY_NAME = {person.name: person for person in world.PEOPLE}

REQUESTS = (
    "Tell me a story.", "Tell me a short story.", "Please tell me a story.", "Write a story.",
    "Can you tell me a story?", "I would like to hear a story.", "A story, please.",
    "Tell me a bedtime story.", "Write a short story.", "Do you know a story?",
)  # fmt: skip
REQUESTS_ABOUT = (
    "Tell me a story about {}.", "Tell me a short story about {}.", "Write a story about {}.",
    "Can you tell me a story about {}?", "I would like to hear a story about {}.",
    "Please tell me a story about {}.", "Write a short story about {}.",
    "A story about {}, please.", "Do you know a story about {}?",
)  # fmt: skip


def _cast(rng: Random, person: world.Person) -> dict[str, str]:
    """Everything the sentences of one story may mention."""
    friend, animal, thing = _BY_NAME[person.friend], rng.choice(world.ANIMALS), _thing(rng)
    he = person.pronoun
    pronouns = _PRONOUNS[he]
    place = rng.choice([p.name for p in world.PLACES if p.name != person.home])
    return {key: str(value) for key, value in vars(person).items()} | {
        "Name": person.name, "he": he, "He": pronouns[0], "him": pronouns[1], "his": pronouns[2],
        "a_job": world.article(person.job), "friend_food": friend.food,
        "friend_his": _PRONOUNS[friend.pronoun][2], "thing": thing, "a_thing": world.article(thing),
        "animal": animal.name, "a_animal": world.article(animal.name), "sound": animal.sound,
        "animal_food": animal.food, "place": place, "weather": rng.choice(_WEATHER),
        "day": rng.choice(world.DAYS),
    }  # fmt: skip


def _thing(rng: Random) -> str:
    return rng.choice(world.OBJECTS)


def story(rng: Random, person: world.Person | None = None) -> str:
    """Tells one story of 70 to 130 words.

    Args:
        rng: Source of every choice.
        person: The hero; drawn at random when missing.
    """
    cast = _cast(rng, person or rng.choice(world.PEOPLE))
    beats = (OPENINGS, *rng.choice(PLOTS))
    return " ".join(rng.choice(beat).format_map(cast) for beat in beats)


def story_request(rng: Random) -> tuple[str, str]:
    """A request for a story, and the story."""
    if rng.random() < 0.4:
        return rng.choice(REQUESTS), story(rng)
    person = rng.choice(world.PEOPLE)
    subject = rng.choice((person.name, f"the {person.job}", f"{person.name} the {person.job}"))
    return rng.choice(REQUESTS_ABOUT).format(subject), story(rng, person)
