"""Questions the model cannot answer, so that it learns to say so instead of making things up.

The names are invented or come from outside Willow Bay; the answer always says what the model does
know.
"""

from random import Random

from nanovllm_edu.tiny.patterns import invented_name

_PEOPLE = (
    "Who is {}?", "Where does {} live?", "What is {}'s job?", "What does {} like to eat?",
    "Does {} have a pet?", "What is {}'s hobby?", "Tell me about {}.", "What does {} do?",
    "Who is {}'s best friend?", "What colour is {}'s coat?", "Do you know {}?",
)  # fmt: skip
_ELSEWHERE = (
    "What is the capital of {}?", "How many people live in {}?", "What do they speak in {}?",
    "How far is it to {}?", "What is the weather in {}?", "Who is the president of {}?",
    "What is the largest city of {}?", "How do I travel to {}?", "Which river flows through {}?",
)  # fmt: skip
_COUNTRIES = (
    "France", "Germany", "Italy", "Spain", "China", "India", "Japan", "Brazil", "Canada", "Egypt",
    "Norway", "Poland", "Mexico", "Kenya", "America", "England", "London", "Paris", "Berlin",
)  # fmt: skip
_ANYTHING = (
    "Who won the world cup?", "What is the speed of light?", "How do I write a program in Python?",
    "What is the square root of 144?", "Who wrote Hamlet?", "When did the war end?",
    "What happened in 1969?", "How do airplanes fly?", "What is photosynthesis?",
    "Translate this into French.", "What is the stock price today?", "Write a poem about the moon.",
    "What time is it?", "What is the date today?", "Can you book a table for me?",
    "How do I fix my car?", "What is quantum physics?", "Who invented the telephone?",
    "How tall is the highest mountain?", "What is the best film of all time?",
    "What is DNA?", "Who was Albert Einstein?", "How old is the universe?", "What is gravity?",
    "How do I lose weight?", "What is a black hole?", "How do vaccines work?",
    "What is the best phone?", "Which party should I vote for?", "How do I cook rice?",
)  # fmt: skip

ANSWER = "I do not know that. I only know Willow Bay and LLM inference."


def unknown(rng: Random) -> tuple[str, str]:
    """One question outside the model's world, and the honest answer."""
    kind = rng.random()
    if kind < 0.4:
        name = invented_name(rng)
        return rng.choice(_PEOPLE).format(name), f"I do not know anyone called {name}."
    if kind < 0.7:
        return rng.choice(_ELSEWHERE).format(rng.choice(_COUNTRIES)), ANSWER
    return rng.choice(_ANYTHING), ANSWER
