"""How one may ask for each kind of fact: phrasings to train on (`+`) and held-out ones (`-`).

A line that ends in a question mark or a full stop is a complete question. Any other line is a
clause, which a wrapper turns into a question: "where Tom lives" -> "Can you tell me where Tom
lives?". Held-out lines and wrappers are never part of the training text; `questions.py` builds the
test questions from them. This module knows nothing about answers.
"""

from dataclasses import dataclass

_TABLE = """
job
+ what is {name}'s job?
+ what does {name} do?
+ what does {name} do for a living?
+ what work does {name} do?
+ which job does {name} have?
+ what is the job of {name}?
+ what is {name}?
+ how does {name} earn money?
+ tell me {name}'s job.
+ {name} works as what?
+ what is {name}'s profession?
+ what kind of job does {name} have?
+ what {name}'s job is
+ what {name} does
+ what {name} does for work
+ how {name} makes a living
- what does {name} work as?
- what kind of work does {name} do in Willow Bay?
- which profession does {name} have?
- what {name} does for a living

who_job
+ who is the {job}?
+ who works as the {job}?
+ who is the {job} of Willow Bay?
+ what is the name of the {job}?
+ which person is the {job}?
+ what is the {job} called?
+ tell me the name of the {job}.
+ do you know the {job}?
+ who the {job} is
+ what the {job} is called
+ the name of the {job}
- who works as a {job} in Willow Bay?
- who in the village is the {job}?
- what name does the {job} have?
- which person works as the {job}

home
+ where does {name} live?
+ what is {name}'s home?
+ where is {name}'s home?
+ in which place does {name} live?
+ where can I find {name}?
+ where is the home of {name}?
+ where does {name} sleep at night?
+ tell me where {name} lives.
+ which place is home to {name}?
+ where is {name}'s house?
+ where {name} lives
+ where {name}'s home is
+ where {name}'s house is
- where in Willow Bay does {name} live?
- near which place is {name}'s home?
- in which part of the village does {name} live?
- where I can find the home of {name}

food
+ what does {name} like to eat?
+ what is {name}'s favourite food?
+ what food does {name} like?
+ what does {name} love to eat?
+ which food does {name} like best?
+ what is the favourite food of {name}?
+ what would {name} like for dinner?
+ tell me what {name} likes to eat.
+ what should I cook for {name}?
+ what is {name}'s favourite dish?
+ what {name} likes to eat
+ what {name}'s favourite food is
+ which food {name} likes
- what food does {name} like most of all?
- what does {name} enjoy eating?
- which dish does {name} love?
- what {name} loves to eat

hobby
+ what is {name}'s hobby?
+ what does {name} like to do?
+ what hobby does {name} have?
+ what does {name} do for fun?
+ what is the hobby of {name}?
+ what does {name} do after work?
+ what does {name} like doing in the evening?
+ tell me {name}'s hobby.
+ which hobby does {name} enjoy?
+ how does {name} spend free time?
+ what {name}'s hobby is
+ what {name} does for fun
+ how {name} spends the evening
- what does {name} do in the free time?
- what does {name} enjoy doing for fun?
- which hobby does {name} have?
- what {name} likes doing after work

pet
+ what pet does {name} have?
+ what is {name}'s pet?
+ which animal does {name} have?
+ does {name} have a pet?
+ what kind of pet does {name} own?
+ what animal belongs to {name}?
+ which pet lives with {name}?
+ tell me about {name}'s pet.
+ what kind of animal is {name}'s pet?
+ what pet {name} has
+ which animal lives with {name}
+ what {name}'s pet is
- what kind of pet does {name} have?
- which pet does {name} own?
- what animal lives with {name}?
- which animal {name} has as a pet

pet_name
+ what is the name of {name}'s pet?
+ what is {name}'s pet called?
+ how is {name}'s pet called?
+ what is the name of {name}'s {pet}?
+ what is {name}'s {pet} called?
+ what does {name} call the {pet}?
+ which name does {name}'s {pet} have?
+ tell me the name of {name}'s {pet}.
+ what {name}'s {pet} is called
+ what {name}'s pet is called
+ the name of {name}'s pet
+ the name of the {pet} of {name}
- what name did {name} give the {pet}?
- which name does the pet of {name} have?
- what is the {pet} of {name} called?
- what name {name}'s {pet} has

owner
+ who owns {pet_name}?
+ whose {pet} is {pet_name}?
+ whose pet is {pet_name}?
+ who has {article_pet} called {pet_name}?
+ who is the owner of {pet_name}?
+ who does {pet_name} belong to?
+ who does the {pet} {pet_name} belong to?
+ who owns the {pet} called {pet_name}?
+ {pet_name} is the pet of which person?
+ who owns {pet_name}
+ whose pet {pet_name} is
+ who the owner of {pet_name} is
- who is the owner of the {pet} {pet_name}?
- which person has a pet called {pet_name}?
- to whom does {pet_name} belong?
- who the {pet} {pet_name} belongs to

friend
+ who is {name}'s best friend?
+ who is the best friend of {name}?
+ who is {name}'s friend?
+ which person is {name}'s best friend?
+ what is the name of {name}'s best friend?
+ who does {name} like most?
+ with whom does {name} spend time?
+ tell me who {name}'s best friend is.
+ who is {name} friends with?
+ who {name}'s best friend is
+ who {name}'s friend is
+ the name of {name}'s friend
- who is a good friend of {name}?
- what is {name}'s best friend called?
- who is best friends with {name}?
- who the best friend of {name} is

coat
+ what colour is {name}'s coat?
+ what is the colour of {name}'s coat?
+ which colour does {name}'s coat have?
+ what coat does {name} wear?
+ what colour does {name} wear?
+ what colour is the coat of {name}?
+ what kind of coat does {name} have?
+ tell me the colour of {name}'s coat.
+ what colour {name}'s coat is
+ which coat {name} wears
+ the colour of {name}'s coat
- which colour is {name}'s coat?
- what colour is the coat that {name} wears?
- which coat does {name} wear?
- what colour the coat of {name} is

person
+ who is {name}?
+ tell me about {name}.
+ what do you know about {name}?
+ can you describe {name}?
+ who is {name} from Willow Bay?
+ tell me something about {name}.
+ what can you say about {name}?
+ please introduce {name}.
+ do you know {name}?
+ who {name} is
+ something about {name}
- what can you tell me about {name}?
- who is this {name}?
- please describe {name}.
- more about {name}

location
+ where is the {place}?
+ where can I find the {place}?
+ where do I find the {place}?
+ how do I get to the {place}?
+ in which place is the {place}?
+ where is the {place} of Willow Bay?
+ where should I look for the {place}?
+ tell me where the {place} is.
+ where the {place} is
+ where I can find the {place}
+ how to get to the {place}
- where is the {place} in Willow Bay?
- where does the {place} stand?
- where in the village is the {place}?
- where to find the {place}

feature
+ what is at the {place}?
+ what can I see at the {place}?
+ what is there at the {place}?
+ what does the {place} have?
+ what is special about the {place}?
+ what do you find at the {place}?
+ what is the {place} known for?
+ tell me about the {place}.
+ what can you see at the {place}?
+ what one can see at the {place}
+ what is special about the {place}
+ what there is at the {place}
- what is there to see at the {place}?
- what will I find at the {place}?
- what makes the {place} special?
- what I can see at the {place}

sound
+ what sound does {a_animal} make?
+ what does {a_animal} say?
+ what noise does {a_animal} make?
+ which sound does {a_animal} make?
+ how does {a_animal} sound?
+ what is the sound of {a_animal}?
+ what sound {a_animal} makes
+ what {a_animal} says
- what kind of sound does {a_animal} make?
- which noise does {a_animal} make?
- what noise {a_animal} makes

diet
+ what does {a_animal} eat?
+ what do you feed {a_animal}?
+ what food does {a_animal} like?
+ what does {a_animal} like to eat?
+ what should I give {a_animal} to eat?
+ what is the food of {a_animal}?
+ what {a_animal} eats
+ what {a_animal} likes to eat
- which food does {a_animal} eat?
- what kind of food does {a_animal} like?
- what food {a_animal} eats

lair
+ where does {a_animal} live?
+ where does {a_animal} sleep?
+ what is the home of {a_animal}?
+ where can I find {a_animal}?
+ where is the home of {a_animal}?
+ where {a_animal} lives
+ where {a_animal} sleeps
- where do I find {a_animal}?
- in which place does {a_animal} live?
- where one finds {a_animal}

what
+ what is {x}?
+ explain {x}.
+ explain {x} to me.
+ define {x}.
+ what does {x} mean?
+ what do you mean by {x}?
+ can you explain {x}?
+ please explain {x}.
+ describe {x}.
+ tell me about {x}.
+ what is the meaning of {x}?
+ give me a definition of {x}.
+ what exactly is {x}?
+ what is meant by {x}?
+ what do people mean by {x}?
+ what do you know about {x}?
+ {x}?
+ what is {x} in an LLM engine?
+ explain {x} in simple words.
+ what {x} is
+ what {x} means
- how would you define {x}?
- in simple words, what is {x}?
- please describe {x} to me.
- explain to me what {x} means.
- what is {x} in LLM inference?
- what exactly {x} is

why
+ why do we need {x}?
+ why is {x} useful?
+ why is {x} needed?
+ what is {x} good for?
+ what is the point of {x}?
+ why does an engine use {x}?
+ why use {x}?
+ what is the use of {x}?
+ why is {x} important?
+ what is {x} for?
+ which problem does {x} solve?
+ what is the benefit of {x}?
+ why does {x} matter?
+ how does {x} help?
+ why would I want {x}?
+ why we need {x}
+ why {x} is useful
+ what {x} is good for
+ why {x} matters
- what problem does {x} solve?
- why is {x} a good idea?
- why do we use {x}?
- what are the benefits of {x}?
- why {x} is important

how
+ how does {x} work?
+ explain how {x} works.
+ how is {x} done?
+ what happens during {x}?
+ how exactly does {x} work?
+ describe how {x} works.
+ what does {x} do step by step?
+ what are the steps of {x}?
+ how would you implement {x}?
+ how {x} works
+ how {x} works inside
- how does {x} work in practice?
- explain step by step how {x} works.
- please show me how {x} works.
- how exactly {x} works

difference
+ what is the difference between {a} and {b}?
+ how do {a} and {b} differ?
+ how is {a} different from {b}?
+ compare {a} and {b}.
+ what is different between {a} and {b}?
+ explain the difference between {a} and {b}.
+ {a} or {b}, what is the difference?
+ {a} versus {b}?
+ how {a} differs from {b}
+ the difference between {a} and {b}
- in what way does {a} differ from {b}?
- compare {a} with {b}, please.
- how {a} and {b} differ

next_day
+ what day comes after {day}?
+ which day comes after {day}?
+ what is the day after {day}?
+ which day follows {day}?
+ what comes after {day}?
+ {day} is over, what day is it now?
+ which day comes after {day}
+ what the day after {day} is
- which day is the day after {day}?
- what day follows {day}?
- what day comes after {day}

next_month
+ what month comes after {month}?
+ which month comes after {month}?
+ which month follows {month}?
+ what is the month after {month}?
+ what comes after {month}?
+ which month comes after {month}
+ what the month after {month} is
- what month follows {month}?
- which month is the month after {month}?
- what month comes after {month}

colour
+ what colour is {thing}?
+ what is the colour of {thing}?
+ which colour does {thing} have?
+ tell me the colour of {thing}.
+ what colour {thing} has
+ the colour of {thing}
- which colour is {thing}?
- what colour does {thing} have?
- which colour {thing} has

opposite
+ what is the opposite of {word}?
+ which word is the opposite of {word}?
+ what is the contrary of {word}?
+ {word} is the opposite of what?
+ tell me the opposite of {word}.
+ give me the opposite of {word}.
+ what the opposite of {word} is
+ the opposite of {word}
- what word is the opposite of {word}?
- name the opposite of {word}.
- which word is the opposite of {word}
"""


@dataclass(frozen=True)
class Phrasings:
    """The ways to ask for one kind of fact."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def parse(block: str) -> Phrasings:
    """Reads the `+` and `-` lines of a block."""
    lines = block.splitlines()
    train = tuple(line[2:] for line in lines if line.startswith("+ "))
    return Phrasings(train, tuple(line[2:] for line in lines if line.startswith("- ")))


PHRASINGS = {block.splitlines()[0]: parse(block) for block in _TABLE.strip().split("\n\n")}

CLAUSE_WRAPPERS = Phrasings(
    train=(
        "can you tell me {}?", "could you tell me {}?", "tell me {}.", "please tell me {}.",
        "I wonder {}.", "do you know {}?", "I would like to know {}.", "I want to know {}.",
        "remind me {}, please.", "I forgot {}.", "let me know {}.", "I do not know {}.",
        "do you remember {}?", "can you explain {}?", "I need to know {}.", "I am asking {}.",
        "please say {}.", "could you remind me {}?", "would you tell me {}?", "I never knew {}.",
        "can you please tell me {}?", "I am not sure {}.", "my friend asks {}.",
    ),
    held_out=(
        "would you please tell me {}?", "could you please explain {}?", "do you happen to know {}?",
        "I really want to know {}.", "can you remind me {}?", "I do not remember {}.",
    ),
)  # fmt: skip

SENTENCE_WRAPPERS = Phrasings(
    train=(
        "Hi! {}", "Hello! {}", "Hello. {}", "Hey, {}", "Quick question: {}", "Question: {}",
        "I have a question. {}", "Please answer: {}", "{} Thanks!", "{} Thank you.", "So, {}",
        "{} Please keep it short.", "Another question: {}", "Okay, {}", "Now tell me: {}",
        "{} I would like to know.", "{} Please explain.", "Please, {}", "Tell me, {}", "Also, {}",
        "Good morning! {}", "I am new here. {}", "Help me, please. {}", "Well, {}",
        "{} Answer in one sentence.", "Next question: {}", "Excuse me, {}", "I am curious. {}",
    ),
    held_out=(
        "One more question: {}", "Hello there! {}", "Please help me. {}", "{} Thanks a lot!",
        "{} I am curious.", "Good evening! {}", "Just a short question: {}", "Sorry, {}",
    ),
)  # fmt: skip
