"""Questions the model cannot answer, so that it learns to say so instead of making things up.

The names are invented or come from outside Willow Bay; the answer always says what the model does
know.
"""

from random import Random

from training.patterns import invented_name
from training.questions import dress

_PEOPLE = (
    "Who is {}?", "Where does {} live?", "What is {}'s job?", "What does {} like to eat?",
    "Does {} have a pet?", "What is {}'s hobby?", "Tell me about {}.", "What does {} do?",
    "Who is {}'s best friend?", "What colour is {}'s coat?", "Do you know {}?",
    "Who is {} anyway?", "Who exactly is {}?", "Where can I find {}?", "Tell me more about {}.",
)  # fmt: skip
_STRANGERS = (
    "Peter", "John", "Emma", "Sarah", "Jonas", "Alice", "Bob", "Charlie", "David", "Eva", "Frank",
    "George", "Henry", "Isabel", "Jack", "Kate", "Leo", "Maria", "Nick", "Olivia", "Peter Pan",
    "Robert", "Sophie", "Thomas", "Ursula", "Victor", "Wendy", "Yusuf", "Zoe", "Einstein", "Laura",
    "Lukas", "Mia", "Martin", "Mary", "Harry Potter", "Martha", "Tim", "Alan Turing", "Mark",
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
    "Write a haiku.", "Write a song.", "What is the largest planet?", "How far away is the moon?",
    "Who painted the Mona Lisa?", "What is the news today?", "Write an email to my boss.",
    "What is the best pizza?", "How many stars are there?", "Who discovered America?",
    "What is bitcoin?", "How do computers work?", "What is a transistor?", "Draw a picture.",
    "Who was the first man on the moon?", "How does the internet work?", "What is Kubernetes?",
    "To be or not to be?", "What is beam search?", "What is LoRA?", "Sing a song.", "What is love?",
    "Solve this equation.", "Fix my code.", "Write a function that sorts a list.", "Play a game.",
    "How do I learn to swim?", "What is a mixture of experts?", "How much money do you have?",
    "What is your phone number?", "Tell me the news.", "When was the telephone invented?",
    "What is the longest river in the world?", "Who is the richest man?", "What is electricity?",
)  # fmt: skip

ANSWER = "I do not know that. I only know Willow Bay and LLM inference."


def unknown(rng: Random) -> tuple[str, str]:
    """One question outside the model's world, and the honest answer."""
    question, answer = _unknown(rng)
    return dress(rng, question), answer


def _unknown(rng: Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.4:
        name = invented_name(rng) if rng.random() < 0.6 else rng.choice(_STRANGERS)
        return rng.choice(_PEOPLE).format(name), f"I do not know anyone called {name}."
    if kind < 0.65:
        return rng.choice(_ELSEWHERE).format(rng.choice(_COUNTRIES)), ANSWER
    return rng.choice(_ANYTHING), ANSWER
