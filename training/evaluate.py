"""Asks a trained model: the held-out questions, bare beginnings, and many stories.

Uses Hugging Face `generate` with greedy decoding, so the figures belong to the weights and not to
an engine. `train.py` stores them next to the weights; `python -m training.evaluate [MODEL_FOLDER]`
prints them, for the model in the box unless another folder is named.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.hand_written import hand_written_questions
from training.phrasings import Phrasings
from training.questions import Fact, Question, held_out_questions, is_right

STORY_PROMPTS = (
    "Once upon a time",
    "One sunny morning, Mira",
    "Tell me a short story.",
    "Tell me a story about Hugo.",
    "It was a rainy day",
)
FIRST_PROMPTS = (
    "Hello, Nano-vLLM!",
    "What is the meaning of life?",
    "What is a KV cache?",
    "Who are you?",
    "Count from 1 to 12.",
    "Repeat after me: kite drum hen",
    "Who is the president of France?",
)

# Bare beginnings go on as text, with these words in it.
BEGINNINGS = {
    "Once upon a time": "Willow Bay", "Once upon a time, Rosa the farmer": "Rosa",
    "It was a rainy day in Willow Bay, and": "the", "One sunny morning, Hugo": "Hugo",
    "Early in the morning, Clara the doctor": "Clara", "There was once a baker called": "Mira",
    "Then dark clouds hung over the harbour, and": "storm", "Long ago, in the village": "Bay",
    "On a cold Monday, Max the carpenter put on his": "dark green", "Mira is the": "baker",
    "Tom lives near the": "harbour", "The colour of snow is": "white", "1, 2, 3, 4,": "5, 6, 7",
    "The opposite of hot is": "cold", "Prefill is": "prompt", "A KV cache stores": "values",
    "A block table lists the": "blocks", "Continuous batching lets": "join",
    "FIFO means": "first", "SGLang is": "engine", "A mixture of experts has": "feed-forward",
    "Gumbel noise is": "random", "Preemption stops a": "sequence", "A radix tree is a": "prefix",
}  # fmt: skip


def as_chat(tokenizer: PreTrainedTokenizerBase, *said: str) -> str:
    """The prompt for what was said by turns, the user first, up to the start of the answer."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


@torch.inference_mode()
def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    max_new_tokens: int = 80,
    batch_size: int = 256,
    temperature: float = 0.0,
) -> Iterator[str]:
    """Continues each prompt, greedily or not; yields the new text alone, in the same order."""
    how = {"do_sample": temperature > 0} | ({"temperature": temperature} if temperature else {})
    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), batch_size):
        batch = tokenizer(prompts[start : start + batch_size], padding=True, return_tensors="pt")
        batch = batch.to(model.device)
        # A model class of transformers does not say that it has `generate`.
        generate: Any = model.generate
        output = generate(**batch, max_new_tokens=max_new_tokens, **how)
        new = output[:, batch["input_ids"].shape[1] :]
        yield from tokenizer.batch_decode(new, skip_special_tokens=True)


def answers_to(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: list[Question]
) -> list[str]:
    """Asks every question, after what its user says before, and returns the last answers."""
    chats: list[list[str]] = [[] for _ in questions]
    for turn in range(1 + max(len(question.before) for question in questions)):
        due = [i for i, question in enumerate(questions) if turn <= len(question.before)]
        for i in due:
            chats[i].append((*questions[i].before, questions[i].text)[turn])
        prompts = [as_chat(tokenizer, *chats[i]) for i in due]
        for i, answer in zip(due, complete(model, tokenizer, prompts), strict=True):
            chats[i].append(answer)
    return [chat[-1] for chat in chats]


def held_out_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: list[Question]
) -> dict[str, Any]:
    """Asks every question and counts the right answers, in all and by topic."""
    answers = answers_to(model, tokenizer, questions)
    asked, right, wrong = Counter(), Counter(), []
    for question, answer in zip(questions, answers, strict=True):
        asked[question.fact.topic] += 1
        if is_right(answer, question.fact):
            right[question.fact.topic] += 1
        else:
            expected = question.fact.answer
            said = " // ".join((*question.before, question.text))
            wrong.append({"question": said, "answer": answer, "expected": expected})
    by_topic = {topic: f"{right[topic]}/{count}" for topic, count in asked.items()}
    accuracy = right.total() / len(questions)
    return {"accuracy": accuracy, "right": right.total(), "by_topic": by_topic, "wrong": wrong}


def beginnings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """How many bare beginnings go on as text: with the right words, and with no word to a user."""
    wrong = []
    for begun, text in zip(
        BEGINNINGS, complete(model, tokenizer, list(BEGINNINGS), 200), strict=True
    ):
        right = Fact("", Phrasings((), ()), {}, "", (BEGINNINGS[begun],), ("I do not", "Ask me"))
        if not is_right(text, right):
            wrong.append({"question": begun, "answer": text, "expected": BEGINNINGS[begun]})
    return {"right": len(BEGINNINGS) - len(wrong), "of": len(BEGINNINGS), "wrong": wrong}


def variety(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int = 40
) -> dict[str, Any]:
    """In how many of `count` stories, told at temperature 0.8, each sentence occurs at most."""
    torch.manual_seed(0)
    prompts = [as_chat(tokenizer, STORY_PROMPTS[2])] * count
    told = complete(model, tokenizer, prompts, max_new_tokens=250, temperature=0.8)
    found = Counter(
        sentence
        for text in told
        for sentence in set(re.split(r'(?<=[.!?"]) (?=[A-Z"])', text.replace("Mrs. ", "Mrs ")))
    )
    often = [sentence for sentence, times in found.items() if times > 2]
    return {"stories": count, "sentences": len(found), "in_more_than_two": often}


def samples(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Greedy continuations of 120 tokens, and answers with and without the chat template."""
    chats = {p: as_chat(tokenizer, p) for p in (*STORY_PROMPTS[2:4], *FIRST_PROMPTS)}
    plain = [p for p in STORY_PROMPTS if p not in chats] + list(FIRST_PROMPTS[:3])
    prompts = list(chats.values()) + plain
    texts = complete(model, tokenizer, prompts, max_new_tokens=120)
    labels = [f"chat: {p}" for p in chats] + [f"plain: {p}" for p in plain]
    return dict(zip(labels, texts, strict=True))


def report(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, num_questions: int = 200
) -> dict[str, Any]:
    """Accuracies, variety and samples, as plain data for `training_run.json`."""
    model.eval()
    return {
        "held_out": held_out_accuracy(model, tokenizer, held_out_questions(num_questions)),
        "hand_written": held_out_accuracy(model, tokenizer, hand_written_questions()),
        "beginnings": beginnings(model, tokenizer),
        "variety": variety(model, tokenizer),
        "samples": samples(model, tokenizer),
    }


def print_report(result: dict[str, Any]) -> None:
    """Prints what `report` found."""
    for label, text in result["samples"].items():
        print(f"\n[{label}]\n{text}")
    begun, told = result["beginnings"], result["variety"]
    for mistake in begun["wrong"]:
        print(f"\nwrong: {mistake['question']}\n  went on: {mistake['answer']}")
    print(f"\nbare beginnings that went on as text: {begun['right']} of {begun['of']}")
    print(f"sentences in more than two of {told['stories']} stories: {told['in_more_than_two']}")
    for name in ("hand_written", "held_out"):
        for mistake in result[name]["wrong"]:
            print(f"\nwrong: {mistake['question']}\n  said:  {mistake['answer']}")
            print(f"  right: {mistake['expected']}")
        topics = ", ".join(f"{topic} {share}" for topic, share in result[name]["by_topic"].items())
        label = name.replace("_", "-")
        print(f"\n{label} questions answered right: {result[name]['accuracy']:.1%} ({topics})")


def main() -> None:
    """Loads a folder, asks the questions and prints the figures."""
    folder = sys.argv[1] if len(sys.argv) > 1 else TINY_MODEL_FOLDER
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(f"{folder}: {model.num_parameters():,} parameters")
    print_report(report(model, AutoTokenizer.from_pretrained(folder)))


if __name__ == "__main__":
    main()
