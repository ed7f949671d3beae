"""How people type: with slips, in other words, and with words that no answer depends on.

A model that has seen every question in clean words only takes the first odd one for another
question. This module knows nothing of facts.
"""

import re
from random import Random


def capitalise(text: str) -> str:
    """Makes the first letter of a sentence a capital."""
    return text[:1].upper() + text[1:]


def noise(rng: Random, text: str) -> str:
    """How people type: "whats a kv cache", without capitals or the final mark, or with a slip."""
    kind = rng.random()
    if kind < 0.15:
        return text.rstrip("?.!")
    if kind < 0.25:
        return text.lower()
    if kind < 0.35:
        return text.lower().rstrip("?.!")
    if kind < 0.8:
        return _loose(rng, text)
    if kind < 0.9:
        return re.sub(r"\b([Ww]hat|[Ww]ho|[Ww]here) is\b", r"\1's", text)
    return _slip(rng, text)


_SAID_BESIDES = (
    """
if you like|at lunch|in the end|they say|of all things|once and for all|as far as you know|honestly
so to speak|for heaven's sake|my dear|all the time|these days|on a bad day|from your point of view
you know|I mean|if at all|as they say|to be honest|strange as it is|with all its parts|more or less
or so|and so on|in a few words|as a rule|to begin with|by the way|in that case|out of interest|right
in the picture|on this screen|in our talk|at school|over coffee|last summer|late at night|at home
like everybody|like my sister|for a change|before I forget|after all|in theory|in real life|oh dear
without maths|without big words|step by step|to my surprise|to make it short|if I may ask|as usual
in case you know it|the one and only|that famous one|which is new to me|whatever it is|poor me
as an example|in general|roughly|of course|sooner or later|on the whole|at first sight|no joke
while I wait|on the train|during the talk|with a smile|in the morning|under load|on my machine
that I keep hearing|that everybody praises|which sounds odd|as you call it|seriously|word for word
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def chatty(rng: Random, text: str) -> str:
    """Puts in what people say besides, and what no answer depends on."""
    besides, words = rng.choice(_SAID_BESIDES), text.split(" ")
    at = rng.choice((0, len(words), rng.randrange(len(words))))
    if at == 0:
        return f"{capitalise(besides)}, {text}"
    if at == len(words):
        return f"{text[:-1]}, {besides}{text[-1]}"
    return " ".join([*words[:at], f"{besides},", *words[at:]])


# Words of talk in which a question may be hidden: none of them says what is asked.
_EVERYDAY = re.findall(
    r"\w+",
    """
abbreviation again almost already always article back before behind better board book boss both
bring called case chapter clear class coffee colleague come course crowd day deal different doubt
early else end ever every evening exam example expect eyes fact famous far feel figure find first
folks follow forget forgot friend funny given glad go good great guess guy half happen happens
head heard help here honest hope hour how idea important indeed inside interesting kind knew know
known last late later learn lecture left less letter like list little look lot lunch main make
many matter maybe mean meaning meant meeting mention mentioned minute moment more morning most
much must name nearly never new news nice notes nothing notice now odd often old once one only
other out own page paper part people perhaps person picture place please point probably put
question quick quite rather read ready real really reason recall remember right room rule said
same saw say saying school screen second see seem seen sense serious should show side simple since
slide small somebody someone something sometimes soon sorry sort speaking start still story
strange such suppose sure take talk talked teacher tell term than thank that them there these
thing things think this those thought through time title today together told tonight too topic
trouble true try turn twice two understand until use usual video want was week well went were
whole wonder word words work world would write wrong yes yesterday yet young
""",
)


def bare(word: str) -> str:
    """A word without capitals, marks and an owner's s."""
    return re.sub(r"'s|\W", "", word.lower())


def muddled(rng: Random, text: str, kept: frozenset[str]) -> str:
    """A question whose words are half gone and mixed with others; what it is about is `kept`.

    Nobody can foresee how people put a question. What stays is what they speak of and some of the
    words that say what they want to know, so a model must find its answer by these.
    """
    body, mark = text.rstrip("?.!"), text[len(text.rstrip("?.!")) :]
    words = []
    for word in body.split(" "):
        chance = 1.0 if bare(word) in kept else rng.random()
        if chance > 0.25:
            words.append(rng.choice(_EVERYDAY) if chance < 0.35 else word)
    for _ in range(rng.randrange(5)):
        words.insert(rng.randrange(len(words) + 1), rng.choice(_EVERYDAY))
    if rng.random() < 0.25:
        words.insert(rng.randrange(len(words) + 1), rng.choice(("-", ":", ",", "...", "?", ".")))
    return capitalise(re.sub(r" ([:,?.])", r"\1", " ".join(words))) + mark


_OFTEN_LEFT_OUT = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "do",
        "does",
        "of",
        "to",
        "me",
        "please",
        "can",
        "you",
        "it",
        "in",
        "for",
    ]
)
_OFTEN_PUT_IN = (
    "actually", "really", "just", "exactly", "then", "again", "perhaps", "even", "now", "please",
    "also", "maybe", "so", "well", "there", "here", "quickly", "usually", "though", "anyway",
)  # fmt: skip
_ALIKE = {
    word: alike.split("|")
    for line in """
use: employ|apply|take
keep: hold|store|retain
find: locate|spot|discover|see
choose: pick|select
picks: chooses|selects
decides: determines|chooses|settles
big: large|huge|great
small: little|tiny
stops: halts|interrupts|pauses
compute: calculate|work out
computed: calculated|worked out
lives: resides|dwells|stays
live: reside|dwell|stay
likes: loves|enjoys|adores|is fond of
like: love|enjoy|adore
eat: chew|munch|consume|swallow
tell: inform|let
explain: clarify|make clear|unfold
means: signifies|says|expresses
mean: signify|say|express
many: several|lots of|a lot of
fast: quick|rapid|speedy
slow: sluggish|not fast
useful: handy|of use|valuable
needed: required|necessary|called for
need: require|want
memory: storage|RAM
user: customer|client|visitor
users: customers|clients|people
answer: reply|response
begins: starts
guesses: predicts|proposes
checks: verifies|tests
stores: keeps|holds|saves
holds: contains|keeps|stores
takes: grabs|picks|gets
splits: cuts|divides|breaks
gives: hands|passes
waits: queues|stands in line|hangs around
text: output|writing
sound: noise|cry
friend: buddy|pal|mate
job: occupation|profession|craft|trade
house: home|place|cottage
village: town|place
favourite: preferred|beloved|dearest
difference: distinction|contrast
purpose: goal|aim|sense
happens: goes on|takes place|occurs
works: functions|operates
work: function|operate
idea: thought|principle|concept
who: which one|what person
why: how come|what for|for what cause
thing: matter|stuff|item
called: named
name: title
next: following|upcoming|coming
again: once more|anew|afresh
wrong: bad|amiss|incorrect
step: iteration|round|cycle
engine: server|system
GPU: graphics card|accelerator
request: query|call
requests: queries|calls
prompt: input|question
long: lengthy|extended
short: brief|little
important: crucial|key|vital
problem: trouble|issue
faster: quicker|speedier
write: produce|put down
reads: scans|goes through
decides: rules|says
part: piece|bit
understand: get|grasp|comprehend
""".strip().splitlines()
    for word, _, alike in [line.partition(": ")]
}


def _loose(rng: Random, text: str) -> str:
    """Says it in other words, leaves small ones out and puts others in: no fact is in them."""
    words = [w for w in text.split(" ") if w not in _OFTEN_LEFT_OUT or rng.random() < 0.7]
    words = [rng.choice(_ALIKE[w]) if w in _ALIKE and rng.random() < 0.5 else w for w in words]
    for _ in range(rng.randrange(3)):
        words.insert(rng.randrange(1, len(words) + 1), rng.choice(_OFTEN_PUT_IN))
    return " ".join(words)


def _slip(rng: Random, text: str) -> str:
    """Swaps or drops a letter."""
    at = rng.randrange(1, max(2, len(text) - 2))
    if rng.random() < 0.5:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
