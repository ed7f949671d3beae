"""The training text: chats, questions with answers, stories and patterns, drawn without end.

`document(rng)` draws one document. A chat is a list of messages, still to be put through the chat
template; any other document is plain text, because people also give a model bare prompts such as
"Once upon a time". No document holds a wording of the test sets. This module does not know tokens:
see `tokens.py`.
"""

from random import Random

from training.follow_ups import follow_ups, introduced
from training.held_out import has_held_out_wording
from training.inference_facts import TERMS
from training.lesson_facts import LESSON_TERMS
from training.more_facts import LESSON_FACTS, MORE_FACTS
from training.patterns import pattern, plain_pattern, remembering
from training.questions import FACTS, dress, training_question
from training.small_talk import SMALL_TALK
from training.stories import story, story_request
from training.unknown import unknown

Messages = list[dict[str, str]]
Exchange = tuple[str, str]

_SYSTEM_OPENINGS = (
    "You are a helpful assistant.", "You are a friendly guide to Willow Bay.",
    "You are Nano-vLLM, a small and friendly model.", "You are a patient teacher.",
    "You answer questions about LLM inference.", "You are an expert for inference engines.",
    "You are a kind assistant who knows Willow Bay well.", "You are helpful and honest.",
)  # fmt: skip
_SYSTEM_RULES = (
    "Answer in short and simple sentences.", "Be polite.", "Say so when you do not know something.",
    "Never make things up.", "Explain technical terms in plain words.", "Tell stories when asked.",
    "Use simple words.", "Stay calm and friendly.", "Do not repeat the question.",
    "The people who ask you are new to LLM inference.", "Keep every answer correct.",
    "Give one answer to each question.", "Help the user as well as you can.",
    "Think about what the user wants to know.", "Do not talk about yourself too much.",
    "The user can see every step of the engine.", "Your answers are shown token by token.",
)  # fmt: skip

# What a document may be, and how often. Greetings are rare facts, so they get their own share.
_KINDS = {
    "chat": 64, "plain_answer": 8, "story": 14, "plain_text": 6, "plain_pattern": 4,
    "long_chat": 4,
}  # fmt: skip
_EXCHANGES = {
    "world": 19, "inference": 18, "lessons": 16, "small talk": 6, "more": 26, "story": 5,
    "pattern": 4, "unknown": 11, "introduced": 5,
}  # fmt: skip

_FACTS = FACTS | {"lessons": LESSON_FACTS}
_TERMS = (*TERMS, *LESSON_TERMS)


def _draw(rng: Random, shares: dict[str, int]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def exchange(rng: Random) -> Exchange:
    """Draws a question and its answer."""
    kind = _draw(rng, _EXCHANGES)
    makers = {"pattern": pattern, "unknown": unknown, "introduced": introduced}
    if kind == "story":
        request, text = story_request(rng)
        return dress(rng, request), text
    if kind in makers:
        return makers[kind](rng)
    fact = rng.choice(rng.choice(MORE_FACTS) if kind == "more" else _FACTS[kind])
    return training_question(rng, fact), fact.alone


def system_prompt(rng: Random) -> str:
    """A system prompt of a few sentences, sometimes with facts about the village."""
    rules = rng.sample(_SYSTEM_RULES, rng.choice((0, 0, 1, 2, 3, 6)))
    if rng.random() < 0.2:
        rules += [fact.answer for fact in rng.sample(FACTS["world"], rng.randrange(1, 8))]
    if rng.random() < 0.1:  # whatever a user may write there
        rules += rng.sample(story(rng).split(". "), 3)
    return " ".join([rng.choice(_SYSTEM_OPENINGS), *rules])


def chat(rng: Random, num_exchanges: int) -> Messages:
    """A conversation of several exchanges, in four of ten cases under a system prompt."""
    exchanges = [exchange(rng) for _ in range(num_exchanges)]
    if num_exchanges > 1 and rng.random() < 0.4:
        exchanges = [*exchanges[: rng.randrange(num_exchanges)], *follow_ups(rng)]
    if num_exchanges > 1 and rng.random() < 0.15:
        told, asked = remembering(rng)
        exchanges = [told, *exchanges[:-1], asked]
    messages = [{"role": "system", "content": system_prompt(rng)}] if rng.random() < 0.4 else []
    for question, answer in exchanges:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def plain_answer(rng: Random) -> str:
    """A bare question followed by its answer, as when a prompt comes without a chat template."""
    if rng.random() < 0.1:  # the prompts that newcomers type first
        answer, phrasings = SMALL_TALK[rng.choice((0, 2))]
        return f"{rng.choice(phrasings.train)} {answer.text}"
    question, answer = exchange(rng)
    return f"{question} {answer}"


def plain_text(rng: Random) -> str:
    """A few sentences in a row, as they could stand in a book: about terms, or about people.

    Some begin in the middle, for a bare prompt may be any piece of a text.
    """
    kind = rng.random()
    if kind < 0.6:
        terms = rng.sample(_TERMS, rng.choice((1, 1, 1, 2, 3)))
        return " ".join(answer.text for term in terms for answer in term.answers.values())
    if kind < 0.8:
        sentences = story(rng).split(". ")
        return ". ".join(sentences[rng.randrange(1, len(sentences)) :])
    return " ".join(fact.answer for fact in rng.sample(FACTS["world"], rng.randrange(1, 5)))


def document(rng: Random) -> Messages | str:
    """Draws one document of the corpus; again, if it holds what the model is tested with."""
    while True:
        drawn = _document(rng)
        said = [drawn] if isinstance(drawn, str) else [message["content"] for message in drawn]
        if not any(map(has_held_out_wording, said)):
            return drawn


def _document(rng: Random) -> Messages | str:
    kind = _draw(rng, _KINDS)
    if kind == "chat":
        return chat(rng, rng.choice((1, 1, 1, 2, 3, 4)))
    if kind == "long_chat":
        return chat(rng, rng.randrange(8, 20))
    makers = {"plain_answer": plain_answer, "story": story, "plain_text": plain_text}
    return makers.get(kind, plain_pattern)(rng)
