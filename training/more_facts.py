"""Facts that are trained but not part of the 200 held-out questions: turned round, and in between.

"Who wears a red coat?" asks for a fact of `world.py` from the other side, "Where does the baker
live?" names a person by the job, "What stores the keys and values of past tokens?" asks for the
name of a term, and a table answers what newcomers ask next. They live apart from `questions.FACTS`
so that every training run is measured with the same questions.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from training import world
from training.choices import split_outside
from training.described import DESCRIBED
from training.inference_facts import COMPARISONS, TERMS, Term
from training.lesson_facts import ALIASES, LESSON_COMPARISONS, LESSON_TERMS
from training.phrasings import PHRASINGS, Phrasings, parse
from training.questions import FACTS, Fact, fact_of

_TURNED_ROUND = """
coat
+ who wears {a_coat} coat?
+ who has {a_coat} coat?
+ whose coat is {coat}?
+ which person wears {a_coat} coat?
+ who is the person with the {coat} coat?
+ who wears {a_coat} coat
~ [who|which villager|which person] [is dressed in|goes out in|owns|can be seen in|walks around in] {a_coat} coat?
~ [I saw|I met|there goes|we saw] [somebody|a person|someone] [in|with] {a_coat} coat[. Who is it?|, who is that?|. Who was it?|, who could that be?]
~ [to whom does|whose is] the {coat} coat[| belong]?

food
+ who likes {food}?
+ who likes {food} best?
+ who likes to eat {food}?
+ who loves {food}?
+ whose favourite food is {food}?
+ for whom should I make {food}?
+ who likes {food} best
~ [who|which person|which villager] [would like|wants|enjoys|is fond of|always eats|prefers|is happy about] {food}[| most| best]?
~ [I made|I cooked|there is|I have|we have] {food}[. Who wants it?|, who would like it?|, for whom is it?|, who will be happy?|. Who likes it most?]

hobby
+ who likes {hobby}?
+ whose hobby is {hobby}?
+ who enjoys {hobby}?
+ who loves {hobby}?
+ who does {hobby} for fun?
+ who has the hobby of {hobby}?
+ whose hobby is {hobby}
~ [who|which person|which villager] [spends the evening|passes the time|relaxes] [with|by|while] {hobby}?
~ [who|which person] [here|in the village|of them] [likes|loves|enjoys|prefers] {hobby}[| most| in the evening]?
~ {hobby}[, who likes that?|: whose hobby is it?|, who does it?]

home
+ who lives near the {home}?
+ who lives at the {home}?
+ whose home is near the {home}?
+ which person lives near the {home}?
+ who has a house near the {home}?
+ who lives next to the {home}?
+ who lives near the {home}
~ [who|which person|which villager|which of them] [lives|has a house|stays|sleeps|is at home] [near|close to|beside|by|next to] the {home}?
~ [near|next to|close to|beside] the {home} [there is a house|I saw a house|lives a person][. Whose is it?|, whose is it?|. Who lives there?|, who is that?]

pet
+ who has {article_pet}?
+ who owns {article_pet}?
+ who has {article_pet} as a pet?
+ whose pet is {article_pet}?
+ which person has {article_pet}?
+ who lives with {article_pet}?
+ who has {article_pet}
~ [who|which person|which villager] [keeps|has|owns|feeds|takes care of|lives with] {article_pet}[| here| at home| in the village]?
~ [I saw|there is|we met] {article_pet}[, whose is it?|. Whose is it?|. Who has one?|, who is the owner?]
"""  # noqa: E501 - a table reads best with one phrasing per line

_WORK = """
baker: bakes [bread|cakes|rolls|the bread]|makes [bread|cakes]
fisherman: catches [fish|the fish]|goes out to sea
teacher: teaches [the children|reading|at the school]|works at the school
gardener: waters the [roses|flowers]|takes care of the [garden|plants]
doctor: heals [the sick|people]|looks after the [ill|sick]
lighthouse keeper: lights the lamp [at night|on the cliff]|watches over the ships
librarian: lends [books|the books]|takes care of the books
clockmaker: [makes|mends|builds] [clocks|watches]
farmer: grows [corn|vegetables|potatoes]|milks the cows|works on the farm
blacksmith: makes [horseshoes|nails]|works with iron
tailor: sews [coats|clothes|trousers]|makes [coats|clothes]
mail carrier: brings [the letters|letters|the mail|parcels]|carries the mail
beekeeper: looks after the bees|makes [honey|the honey]
carpenter: builds [tables|chairs|houses]|works with wood
musician: [makes|plays] [music|songs] [for a living|at the theatre]
cook: cooks [at the inn|soup for the guests|for the guests]
"""

_OF_MANY = """
sound
~ [what|which] [sound|noise|cry] do {animals} make[| all day| in the morning]?
~ what do {animals} [say|call|shout|tell you|sing]?
~ how do {animals} [sound|go|call|talk]?
~ [if|when] [you were one of the|I was one of the|we listen to] {animals}, what [would|do] [you|I|we] [say|hear]?
~ {animals}[: which sound?| say what?|, what do they say?|, how do they sound?]

diet
~ what do {animals} [eat|like to eat|feed on|want to eat|live on|eat most][| in the morning| every day| here]?
~ [what|which] food [do {animals} like|is right for {animals}|is good for {animals}|do I give to {animals}]?
~ what [should|do|can] [I|you|we|one] [give|feed|bring|offer] [to |]{animals}?
~ {animals}[: what do they eat?| eat what?|, what is their food?| are hungry, what do they get?]

lair
~ where do {animals} [live|sleep|rest|stay|have a bed|make a home][| here| at night| in winter]?
~ where [can|could|do|would] [I|we|you|one] [find|see|meet] {animals}[| at night| here]?
~ where is the [home|place|house|bed] of {animals}?
~ {animals}[, where do they live?| live where?|: where are they at home?|, where do they sleep?]
"""  # noqa: E501 - a table reads best with one phrasing per line

_ANSWERS = """
= When no block is free, the scheduler preempts a sequence: it frees the blocks and computes their tokens again later.
+ What happens when no block is free?
+ What happens when there are no free blocks?
+ What happens when the cache is full?
+ What happens when the memory is full?
+ What if the KV cache is full?
+ What does the engine do when it has no memory left?
+ When is a sequence preempted?
+ When does preemption happen?
+ what happens when the engine runs out of memory
+ what happens when the blocks run out
~ [when|at what moment|in which case] [does|will|would] [the engine|the scheduler|an engine] [preempt|stop|pause] [a sequence|a request|one of them|somebody]?
~ what [does the engine do|happens|is done|follows] [if|when|once] [there is no|it finds no|nobody gives a] free block[| left| any more]?

= Decode is limited by memory bandwidth, because every step reads all weights to make one token per sequence.
+ Why is decode slow?
+ What limits decode?
+ What limits the speed of decode?
+ Why is decoding so slow?
+ Is decode limited by compute or by memory?
+ why decode is slow
+ what limits decode
~ [what|which thing] [limits|slows down|holds up|bounds|stops] [decode|decoding|the decode phase|the making of tokens][| most| in speed]?
~ [decode|decoding] is [limited|bounded|slowed down] by [what|something, but what|which thing]?
~ [why can|why does] [decode|decoding] [not go faster|not be faster|take so long|go so slowly]?

= Prefill is limited by compute, because all tokens of the prompt are computed in parallel.
+ Why is prefill fast?
+ What limits prefill?
+ Why is prefill limited by compute?
+ Is prefill limited by compute or by memory?
+ what limits prefill
~ [what|which thing] [limits|slows down|bounds|stops] [prefill|prefilling|the prefill phase|the reading of a prompt][| most| in speed]?
~ [prefill|prefilling] is [limited|bounded|slowed down] by [what|which thing|compute or memory]?
~ [what|which units] does prefill [wait for|need most|keep busy]?

= A batch makes better use of the GPU, because the weights are read once for many sequences.
+ Why do we batch requests?
+ Why do we batch sequences?
+ Why batch requests?
+ Why should I batch requests?
+ Why does the engine batch requests?
+ Why are requests batched?
+ Why do we compute many sequences together?
+ Why are many requests faster together?
+ why we batch requests
+ why requests are batched
~ why [is it|would it be] [good|better|faster|cheaper] to [batch|compute together|run together] [many|several|all] [requests|sequences]?

= Two requests can share the blocks of a common prefix, because equal prefixes have equal keys and values.
+ How can two requests share a prompt?
+ How can two requests share blocks?
+ Why can requests share blocks?
+ When do two sequences share a block?
+ Can two requests share memory?
+ How do requests share a system prompt?
+ how requests share blocks
+ why blocks can be shared
~ [can|may|could|when can] [two|several|many] [requests|sequences|users|prompts] [share|have|use] [the same|one and the same|common] [blocks|memory|keys and values]?

= A KV cache stores keys and values of one sequence. A prefix cache lets other sequences reuse them.
+ What is the difference between a KV cache and a prefix cache?
+ What is the difference between the KV cache and prefix caching?
+ How do a KV cache and a prefix cache differ?
+ Is a KV cache the same as a prefix cache?
+ the difference between a KV cache and a prefix cache

= A block table lists the blocks of a sequence. A slot mapping says where the new tokens are written.
+ What is the difference between a block table and a slot mapping?
+ How do a block table and a slot mapping differ?
+ Is a block table the same as a slot mapping?
+ the difference between a block table and a slot mapping

= With temperature zero, the model always takes the token with the highest score.
+ What happens if the temperature is zero?
+ What does temperature zero mean?
+ What if I set the temperature to zero?
+ What happens at temperature zero?
+ what temperature zero does
~ [what|which text|which token] [comes|follows|do I get|happens] [with|at|from|if I set] [a temperature of|temperature] [zero|0]?
~ [temperature|a temperature of] [zero|0][: what does it do?|, what happens?|: which token comes?| means what?]

= With a high temperature, the model picks unlikely tokens more often, so the text is more surprising.
+ What happens if the temperature is high?
+ What does a high temperature do?
+ What if I set a high temperature?
+ what a high temperature does
~ what [happens|changes|do I see|becomes of the answer] [with|at|if I take|when I set] a [high|higher|larger|big] temperature?
~ [how|what] does [raising|increasing] the temperature [change the text|do|help]?

= In each step, the engine plans which tokens to compute, runs the model once, and commits the new tokens.
+ What is a step?
+ What is an engine step?
+ What happens in one step?
+ What happens in a step of the engine?
+ What does the engine do in each step?
+ What happens in every step?
+ what happens in one step
~ [what|which things|which parts] [does|makes up|belong to|are in] [a step|one step|each step][| of the engine| do]?

= A block often holds 16 tokens. The block size says how many.
+ How big is a block?
+ How big is a KV block?
+ How many tokens are in a block?
+ How many tokens fit in one block?
+ How large is a cache block?
+ how big a block is

= A KV cache saves time, because old keys and values are read and not computed again.
+ How does a KV cache save time?
+ How does the KV cache make decode faster?
+ Why is generation faster with a KV cache?
+ Why does a KV cache save time?
+ how a KV cache saves time

= A logit is the score that the model gives to one token before softmax.
+ What is a logit?
+ Explain a logit.
+ What does a logit mean?
+ What is the logit of a token?
+ what a logit is

= CUDA is the platform with which programs use an NVIDIA GPU.
+ What is CUDA?
+ Explain CUDA.
+ What does CUDA mean?
+ what CUDA is

= I only tell stories of Willow Bay and explain LLM inference. Which of the two would you like?
+ Okay.
+ Ok
+ Yes.
+ No.
+ Tell me more.
+ Tell me something.
+ Tell me something interesting.
+ Talk to me.
+ What now?
+ Why?
+ How?
+ Go on.
+ I do not understand.
+ Please explain.
+ Surprise me.
+ I am bored.

= I am sorry to hear that. Would you like to hear a story?
+ I am sad.
+ I am tired.
+ I feel bad.
+ I had a bad day.
+ I am not well.
+ I am unhappy.

= I am glad to hear that!
+ I am happy.
+ I am fine.
+ I am well.
+ I feel good.
+ I had a good day.
+ You are great!
+ Well done!
+ You are nice.

= I am a program, so I do not eat and I have no favourites. But I like questions.
+ What is your favourite food?
+ What is your favourite colour?
+ Do you like cats?
+ Do you like music?
+ What do you like?
+ Do you have a pet?
+ Where do you live?
+ How old are you?
+ Do you have a friend?
+ What is your hobby?
+ Are you human?
+ Do you sleep?
+ Do you dream?
+ Do you have feelings?

= Hello, nice to meet you! Ask me about Willow Bay or about LLM inference.
+ My name is Peter.
+ I am Sarah.
+ Hello, my name is John.
+ I am new here.
+ I am a student.
+ My name is Emma.
+ Hello, I am Jonas.
"""  # noqa: E501 - a table reads best with one answer per line


def _turned_round() -> Iterator[Fact]:
    questions = {b.splitlines()[0]: parse(b) for b in _TURNED_ROUND.strip().split("\n\n")}
    for fact in FACTS["world"]:
        kinds = [kind for kind in questions if fact.phrasings is PHRASINGS[kind]]
        if kinds and fact.answer.startswith(fact.slots["name"]):
            yield replace(fact, phrasings=questions[kinds[0]])


def _by_work() -> Iterator[Fact]:
    """Who bakes bread? The baker, whose name is asked for."""
    pairs = (line.partition(": ") for line in _WORK.strip().splitlines())
    works = {job: work for job, _, work in pairs}
    for fact in FACTS["world"]:
        if fact.phrasings is PHRASINGS["who_job"]:
            asked = tuple(
                f"[who|who|which villager|which person|whose job is it: who] {work}"
                "[| here| in Willow Bay| in the village| for us| for the people]?"
                for work in split_outside(works[fact.slots["job"]])
            )
            yield replace(fact, phrasings=Phrasings((), (), asked))


_PLURALS = {"sheep": "sheep", "mouse": "mice"}


def _of_many_animals() -> Iterator[Fact]:
    """The same of "cows" as of "a cow"."""
    questions = {b.splitlines()[0]: parse(b) for b in _OF_MANY.strip().split("\n\n")}
    for animal in world.ANIMALS:
        slots = {"animals": _PLURALS.get(animal.name, f"{animal.name}s")}
        for fact in FACTS["world"]:
            if fact.slots.get("a_animal") == world.article(animal.name):
                kind = next(kind for kind in questions if fact.phrasings is PHRASINGS[kind])
                yield replace(fact, phrasings=questions[kind], slots=slots)


def _by_job() -> Iterator[Fact]:
    """The same facts, asked about "the baker" or "Mira the baker"."""
    kinds = [PHRASINGS[kind] for kind in ("home", "food", "hobby", "pet", "friend", "coat")]
    for fact in FACTS["world"]:
        if any(fact.phrasings is kind for kind in kinds):
            job = f"the {fact.slots['job']}"
            for name in (job, f"{fact.slots['name']} {job}"):
                yield replace(fact, slots=fact.slots | {"name": name})


def _called(name: str) -> list[str]:
    """A name and the other names of the same term, but for those of many."""
    for term in (*TERMS, *LESSON_TERMS):
        if name in term.names:
            others = {*term.names, *_names_alike(term)} - {name}
            return [name, *sorted(other for other in others if other[0] != "+")][:5]
    return [name]


def _of_lessons() -> Iterator[Fact]:
    """The terms of the lessons and the glossary, and what is told apart there."""
    for term in LESSON_TERMS:
        for name in term.names:
            for aspect in term.answers:
                yield fact_of(term, aspect, name)


def _compared() -> Iterator[Fact]:
    """What is told apart, under all names."""
    for (a, b), answer in (COMPARISONS | LESSON_COMPARISONS).items():
        for pair in product(_called(a), _called(b)):
            for first, second in (pair, pair[::-1]):
                slots = {"a": first, "b": second}
                yield Fact("lessons", PHRASINGS["difference"], slots, answer.text, ())


def _without_reason() -> Iterator[Fact]:
    """Says at least what a term is, where the table has no answer for "why" or "how"."""
    for term in (*TERMS, *LESSON_TERMS):
        for aspect in ("why", "how"):
            if aspect not in term.answers:
                for name in term.names:
                    yield fact_of(term, aspect, name)


def _names_alike(term: Term) -> set[str]:
    """Other names of a term: of many, and without an article."""
    names = set(ALIASES.get(term.names[0], ()))
    for name in term.names:
        article, _, bare = name.partition(" ")
        if article in ("a", "an", "the") and " of " not in name:
            names.add(bare)
        if article in ("a", "an") and " of " not in name and not bare.endswith("ing"):
            names.add(
                "+" + re.sub(r"y$", "ie", bare) + ("es" if bare.endswith(("h", "x")) else "s")
            )
    return names - {*term.names, *(f"+{name}" for name in term.names)}


def _other_names() -> Iterator[Fact]:
    for term in (*TERMS, *LESSON_TERMS):
        for name in sorted(_names_alike(term)):
            for aspect in ("what", "why", "how"):
                yield fact_of(term, aspect, name)


_RIDDLES = (
    "[What|Which thing|Which idea|Which word|Which technique|Which part of an engine]{}?",
    "[What do you call|What is the name of|Name|How do they call] "
    "[something|a thing|the thing|that] that{}[?|.]",
    "[What is it that|There is something that]{}[?|. What is it?|, what is its name?]",
    "[I forgot the word|What is the word|I am looking for the word]: it{}.",
)


def _riddle(term: Term) -> Phrasings | None:
    """Asks for a term by what is said of it, where the answer begins with its name."""
    first = re.split(r"(?<=[a-z)])\.(?: |$)|, (?=so|such|for)", term.answers["what"].text)[0]
    for name in (name.removeprefix("+") for name in term.names):
        if first.lower().startswith(f"{name.lower()} ") and "[" not in first:
            said = first[len(name) :].replace("{", "").replace("}", "")
            if re.match(r" (is|has|\w+s) ", said):  # "they" would need other verbs
                return Phrasings((), (), tuple(riddle.format(said) for riddle in _RIDDLES))
    return None


def _riddles() -> Iterator[Fact]:
    for term in (*TERMS, *LESSON_TERMS):
        if phrasings := _riddle(term):
            yield Fact("riddles", phrasings, {}, term.answers["what"].text, ())


_DESCRIPTIONS = (
    "[What|Which thing|Which idea|Which part of an engine|Which technique|What in an engine] {}?",
    "[Is there|Do you know|Do engines have] [something|a thing|an idea|a part] that {}?",
    "[What is the name of|What do you call|How do people call|Name] [something|the thing] that {}"
    "[?|, please.]",
    "[I forgot|What is|Give me|I am looking for] the [word|term|name]: it {}.",
    "[It|Something] {}. [What is it|Which term is it|What am I thinking of|What is meant]?",
    "[A colleague|Somebody|The text|My teacher] says it {}. [What is that|Which term is it]?",
)


def _described() -> Iterator[Fact]:
    """Asks for a term by what it does, in other words than the answer's (`described.py`)."""
    terms = {term.names[0].removeprefix("+"): term for term in (*TERMS, *LESSON_TERMS)}
    for line in DESCRIBED.strip().splitlines():
        name, _, said = line.partition(": ")
        asked = tuple(d.replace("{}", s) for s in split_outside(said) for d in _DESCRIPTIONS)
        yield Fact("riddles", Phrasings((), (), asked), {}, terms[name].answers["what"].text, ())


def _answers() -> Iterator[Fact]:
    for block in _ANSWERS.strip().split("\n\n"):
        yield Fact("more", parse(block), {}, answer=block.splitlines()[0][2:], keywords=())


LESSON_FACTS = tuple(_of_lessons())
# One tuple for each family, so that the large families do not crowd out the small ones.
MORE_FACTS = tuple(
    tuple(family())
    for family in (
        *(
            _turned_round,
            _by_job,
            _by_work,
            _of_many_animals,
            _without_reason,
            _other_names,
            _other_names,
        ),
        *(_compared, _compared, _compared),
        *(_riddles, _riddles, _described, _described, _described, _answers, _answers),
    )
)
