"""How one may ask for each kind of fact: phrasings to train on (`+`) and held-out ones (`-`).

A line that ends in a question mark or a full stop is a complete question. Any other line is a
clause, which a wrapper turns into a question: "where Tom lives" -> "Can you tell me where Tom
lives?". Held-out lines and wrappers are never part of the training text; `questions.py` builds the
test questions from them. This module knows nothing about answers.
"""

from dataclasses import dataclass, replace

from training.more_varied import MORE_VARIED
from training.varied import VARIED

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
+ what job does {name} do?
+ what is {name}'s work?
+ as what does {name} work?
+ what does {name} do all day?
+ in which job does {name} work?
+ what is {name}'s occupation?
+ how does {name} make a living?
+ what kind of worker is {name}?
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
+ who does the job of the {job}?
+ who has the job of {job}?
+ the {job} of Willow Bay is who?
+ which of the people is the {job}?
+ how is the {job} called?
+ who is your {job}?
+ what is the {job}'s name?
+ who is the village {job}?
+ who is the {job} here?
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
+ whereabouts does {name} live?
+ in what area does {name} live?
+ which part of Willow Bay is {name} from?
+ in which corner of the village is {name} at home?
+ near what place does {name} live?
+ where do I have to go to visit {name}?
+ where would I meet {name}?
+ where is {name} at home?
+ what is {name}'s address?
+ where is the house of {name}?
+ in what part of Willow Bay is {name}'s house?
+ next to which place does {name} live?
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
+ what food does {name} love most?
+ which dish does {name} like most?
+ what does {name} like most for dinner?
+ of all food, what does {name} like best?
+ what is {name} fond of eating?
+ which meal does {name} enjoy?
+ what does {name} prefer to eat?
+ which food does {name} enjoy?
+ what would {name} eat every day?
+ what food makes {name} happy?
+ which food would {name} choose?
+ what does {name} eat with pleasure?
+ which meal does {name} like the most?
+ what would {name} order at the inn?
+ what tastes best to {name}?
+ what does {name} enjoy for dinner?
+ what is the best meal for {name}?
+ does {name} have a favourite food?
+ what kind of food does {name} like best?
+ what does {name} eat?
+ what {name} likes to eat
+ what {name}'s favourite food is
+ which food {name} likes
+ what {name} eats with joy
+ what kind of food {name} enjoys
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
+ what is {name}'s favourite hobby?
+ what does {name} do in the evening?
+ how does {name} relax?
+ what does {name} like doing?
+ what does {name} do when work is over?
+ does {name} have a hobby?
+ what activity does {name} like?
+ what pastime does {name} have?
+ what is {name} doing after work?
+ how does {name} have fun?
+ what {name}'s hobby is
+ what {name} does for fun
+ how {name} spends the evening
+ what {name} likes to do in the evening
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
+ what kind of animal does {name} have?
+ what animal is {name}'s pet?
+ which pet belongs to {name}?
+ what animal does {name} own?
+ does {name} have an animal?
+ what sort of pet is it that {name} has?
+ which animal is the pet of {name}?
+ what pet does {name} keep at home?
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
+ how is the {pet} of {name} called?
+ what is the name of the {pet} that {name} has?
+ what is the name of the {pet} of {name}?
+ the {pet} of {name} has which name?
+ what do people call {name}'s {pet}?
+ what do you call the {pet} of {name}?
+ by which name does {name} call the {pet}?
+ does {name}'s {pet} have a name?
+ what is the pet of {name} called?
+ what is the {pet} called that lives with {name}?
+ tell me the name of the {pet} that belongs to {name}.
+ what {name}'s {pet} is called
+ what {name}'s pet is called
+ the name of {name}'s pet
+ the name of the {pet} of {name}
+ how {name}'s {pet} is called
+ what {name} calls the {pet}
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
+ {pet_name} belongs to whom?
+ who is {pet_name}?
+ what is {pet_name}?
+ which person owns {pet_name}?
+ who takes care of {pet_name}?
+ with whom does {pet_name} live?
+ what animal is {pet_name}?
+ who keeps {article_pet} with the name {pet_name}?
+ tell me who owns {pet_name}.
+ whose animal is {pet_name}?
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
+ which friend does {name} have?
+ with whom is {name} friends?
+ who are the friends of {name}?
+ does {name} have a best friend?
+ how is {name}'s best friend called?
+ who is close to {name}?
+ who is the person that {name} likes most?
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
+ what coat does {name} have?
+ what colour of coat does {name} wear?
+ what does {name}'s coat look like?
+ what is {name} wearing?
+ what does {name} wear?
+ how does {name}'s coat look?
+ in which colour is {name}'s coat?
+ what colour does the coat of {name} have?
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
+ who is that {name}?
+ who is this person called {name}?
+ who is this person, {name}?
+ I wonder who this {name} is.
+ this is {name}, but who is that?
+ who exactly is {name}?
+ who might {name} be?
+ and who is {name}?
+ this {name}, who is it?
+ who is {name} anyway?
+ what should I know about {name}?
+ I met {name}, who is that?
+ tell me everything about {name}.
+ what kind of person is {name}?
+ give me some facts about {name}.
+ have you heard of {name}?
+ what about {name}?
+ who {name} is
+ something about {name}
+ all about {name}
+ what you know about {name}
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
+ in which part of the village is the {place}?
+ where in Willow Bay is the {place}?
+ where is the {place} located?
+ which way is the {place}?
+ where would I find the {place}?
+ where do I have to go for the {place}?
+ what is the location of the {place}?
+ can you show me the way to the {place}?
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
+ what can one see at the {place}?
+ what is interesting about the {place}?
+ what would I see at the {place}?
+ describe the {place}.
+ what is the {place} like?
+ why should I visit the {place}?
+ what does the {place} look like?
+ what is worth seeing at the {place}?
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
+ how does {a_animal} go?
+ what noise do you hear from {a_animal}?
+ what sound comes from {a_animal}?
+ {a_animal} says what?
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
+ what is the favourite food of {a_animal}?
+ what should {a_animal} eat?
+ what food do you give {a_animal}?
+ what would {a_animal} like to eat?
+ {a_animal} eats what?
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
+ in what place does {a_animal} live?
+ where would I look for {a_animal}?
+ where is {a_animal} at home?
+ in which place can I find {a_animal}?
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
+ {x}, what is it?
+ what is {x} in an LLM engine?
+ explain {x} in simple words.
+ what does {x} do?
+ what does {x} stand for?
+ what about {x}?
+ and {x}?
+ and what is {x}?
+ in one sentence, what is {x}?
+ in short, what is {x}?
+ summarize {x}.
+ explain {x} to a beginner.
+ explain {x} to a child.
+ how would you explain {x}?
+ what do I have to know about {x}?
+ help me understand {x}.
+ I do not understand {x}.
+ I am confused about {x}.
+ what sort of thing is {x}?
+ teach me {x}.
+ tell me what {x} is.
+ can you tell me about {x}?
+ can you describe {x}?
+ could you explain {x}?
+ give me a short explanation of {x}.
+ I would like to learn about {x}.
+ I read about {x}, what is it?
+ what is the idea of {x}?
+ what is the idea behind {x}?
+ what {x} is
+ what {x} means
+ what {x} does
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
+ what are the advantages of {x}?
+ which benefits does {x} have?
+ what benefit does {x} bring?
+ what is the advantage of {x}?
+ what do we gain from {x}?
+ what is the purpose of {x}?
+ what is the reason for {x}?
+ what is {x} needed for?
+ for what do we need {x}?
+ why should I use {x}?
+ why do engines have {x}?
+ why do people use {x}?
+ why would an engine need {x}?
+ what would happen without {x}?
+ what do you need {x} for?
+ why did someone invent {x}?
+ is {x} really useful?
+ what makes {x} useful?
+ what are the good sides of {x}?
+ what speaks for {x}?
+ why do you need {x}?
+ why have {x}?
+ why does the engine need {x}?
+ why we need {x}
+ why {x} is useful
+ what {x} is good for
+ why {x} matters
+ how {x} helps
+ the reason for {x}
+ the advantages of {x}
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
+ how does {x} work inside?
+ how does {x} work exactly?
+ what happens in {x}?
+ tell me how {x} works.
+ can you describe how {x} works?
+ in which way does {x} work?
+ walk me through {x}.
+ how would I build {x}?
+ what are the details of {x}?
+ how does {x} function?
+ explain the details of {x}.
+ how {x} works
+ how {x} works inside
+ what {x} does step by step
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
+ what is the main difference between {a} and {b}?
+ how does {a} differ from {b}?
+ in which way is {a} different from {b}?
+ are {a} and {b} the same?
+ is {a} the same as {b}?
+ what distinguishes {a} from {b}?
+ how can I tell {a} from {b}?
+ what is the difference of {a} and {b}?
+ how {a} differs from {b}
+ the difference between {a} and {b}
+ why {a} is not the same as {b}
+ what separates {a} from {b}
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
+ what is the next day after {day}?
+ today is {day}, what day is tomorrow?
+ if today is {day}, which day is tomorrow?
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
+ what is the next month after {month}?
+ it is {month}, what is the next month?
+ which month is after {month}?
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
+ what is the right colour for {thing}?
+ how would you paint {thing}?
+ name the colour of {thing}.
+ in which colour do you see {thing}?
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
+ what is opposite to {word}?
+ tell me a word that means the opposite of {word}.
+ not {word}, but what?
+ which word means the opposite of {word}?
+ what is the antonym of {word}?
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
    varied: tuple[str, ...] = ()  # to train on, too, with choices in them


def parse(block: str) -> Phrasings:
    """Reads the `+`, `-` and `~` lines of a block."""
    found = (
        tuple(line[2:] for line in block.splitlines() if line.startswith(mark))
        for mark in ("+ ", "- ", "~ ")
    )
    return Phrasings(*found)


def _blocks(table: str) -> dict[str, str]:
    """The blocks of a table by their first lines."""
    return {block.splitlines()[0]: block for block in table.strip().split("\n\n")}


def _varied(kind: str) -> tuple[str, ...]:
    blocks = (_blocks(table).get(kind, "") for table in (VARIED, MORE_VARIED))
    return tuple(line for block in blocks for line in block.splitlines()[1:])


PHRASINGS = {
    kind: replace(parse(block), varied=_varied(kind)) for kind, block in _blocks(_TABLE).items()
}

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

# For training only: the held-out questions also draw from `CLAUSE_WRAPPERS.train`, so that tuple
# stays as it is, and every training run is measured with the same 200 questions.
MORE_CLAUSE_WRAPPERS = (
    "I wonder if you know {}.", "any idea {}?", "help me understand {}.", "may I ask {}?",
    "I am trying to find out {}.", "it would help me to know {}.", "please explain {}.",
    "I would love to know {}.", "can you say {}?", "could I ask you {}?", "we need to know {}.",
    "what I want to know is {}.", "I have no idea {}.", "nobody told me {}.",
    "someone asked me {}.", "please remind me {}.", "would you know {}?", "I should know {}.",
)  # fmt: skip
MORE_SENTENCE_WRAPPERS = (
    "I need your help. {}", "Can you help me? {}", "Could you help me? {}", "Help! {}",
    "{} Many thanks!", "{} Thank you so much!", "{} Thanks for your help!", "{} Cheers!",
    "Good afternoon! {}", "Hi there! {}", "Hey there! {}", "Welcome back! {}", "Hello, model. {}",
    "Nano-vLLM, {}", "Hello, Nano-vLLM! {}", "Hi, Nano-vLLM. {}", "Dear model, {}",
    "A little question: {}", "My question is: {}", "One last question: {}", "First question: {}",
    "Second question: {}", "Here is my question: {}", "Let me ask you something. {}", "Hmm, {}",
    "Pardon me, {}", "I am sorry to ask, {}", "Excuse me. {}", "Oh, {}", "Alright. {}", "Right, {}",
    "Thank you. {}", "Thanks for the answer. {}", "And now, {}", "And {}", "But {}",
    "{} I wonder.", "{} I am just wondering.", "{} Please tell me.", "{} Be brief.", "{} I forgot.",
    "{} I am a beginner.", "{} One sentence is enough.", "{} Explain it simply.", "{} Please help.",
    "{} I want to understand it.", "{} Please answer.", "Briefly, {}", "In one sentence, {}",
    "I am learning. {}", "I want to learn something. {}", "It is raining today. {}",
    "My teacher wants to know: {}", "For my homework: {}", "I like this village. {}", "Listen, {}",
    "You are good at this. {}", "I do not get it. {}", "Yes. {}", "No. {}", "Good. {}", "Test: {}",
)  # fmt: skip
VARIED_WRAPPERS = (
    "[Hi|Hello|Hey|Good morning|Good evening|Dear model|Nano-vLLM|Hi there|Good day][,|!|.] {}",
    "[I am|We are|My friend is] [new|a beginner|learning|curious|confused|in a hurry|at school]"
    "[| here| today| with this]. {}",
    "[Sorry|Excuse me|Pardon|By the way|Just wondering|One thing|Oh|Hmm|Well|So|Now|Then][,|:] {}",
    "{} [Thanks|Thank you|Please|Cheers][| in advance| a lot| so much][.|!]",
    "{} [I need it|I want it|It is] for [my exam|school|work|a friend|a talk|my homework|a quiz].",
    "{} [Keep it short|Be brief|In one sentence|Short answer|Simple words|No long text], please.",
    "[My boss|My teacher|My son|My daughter|A colleague|Our guide|A tourist|A guest|Everybody] "
    "[asks|wants to know|keeps asking|asked me|wonders]: {}",
    "[I bet|Perhaps|Maybe|Surely] you know[ this| that|]: {}",
    "[Yesterday|Today|Last week|This morning|At lunch] [I|we] "
    "[talked about it|read about it|heard of it|thought of it]. {}",
    "{} [I really do not know|I have been wondering|I could not find it|Nobody tells me|It matters"
    "|I am not sure|It is important|I keep forgetting|I am all ears|I cannot wait].",
    "[Very good|Interesting|I see|Understood|All right|Fine|Great|Nice|Wow|Aha|Cool]. {}",
    "[I have been thinking|I could not sleep|I want to learn more|I have a problem|I need advice"
    "|I got lost|I am preparing a talk|I am writing a report|This is hard]. {}",
)
