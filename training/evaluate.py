"""Asks a trained model: the held-out questions, and the beginnings of a few stories.

Uses Hugging Face `generate` with greedy decoding, so the figures belong to the weights and not to
an engine. `train.py` stores them next to the weights; `python -m training.evaluate [MODEL_FOLDER]`
prints them, for the model in the box unless another folder is named.
"""

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
from training.questions import Question, held_out_questions, is_right

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


def as_chat(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
    """The prompt for one question, up to the start of the answer."""
    messages = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


@torch.inference_mode()
def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    max_new_tokens: int = 80,
    batch_size: int = 100,
) -> Iterator[str]:
    """Continues each prompt greedily; yields the new text alone, in the order of the prompts."""
    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), batch_size):
        batch = tokenizer(prompts[start : start + batch_size], padding=True, return_tensors="pt")
        batch = batch.to(model.device)
        output = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        new = output[:, batch["input_ids"].shape[1] :]
        yield from tokenizer.batch_decode(new, skip_special_tokens=True)


def held_out_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: list[Question]
) -> dict[str, Any]:
    """Asks every question and counts the right answers, in all and by topic."""
    prompts = [as_chat(tokenizer, question.text) for question in questions]
    answers = list(complete(model, tokenizer, prompts))
    asked, right, wrong = Counter(), Counter(), []
    for question, answer in zip(questions, answers, strict=True):
        asked[question.fact.topic] += 1
        if is_right(answer, question.fact):
            right[question.fact.topic] += 1
        else:
            expected = question.fact.answer
            wrong.append({"question": question.text, "answer": answer, "expected": expected})
    by_topic = {topic: f"{right[topic]}/{count}" for topic, count in asked.items()}
    accuracy = right.total() / len(questions)
    return {"accuracy": accuracy, "right": right.total(), "by_topic": by_topic, "wrong": wrong}


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
    """Held-out and hand-written accuracy and samples, as plain data for `training_run.json`."""
    model.eval()
    return {
        "held_out": held_out_accuracy(model, tokenizer, held_out_questions(num_questions)),
        "hand_written": held_out_accuracy(model, tokenizer, hand_written_questions()),
        "samples": samples(model, tokenizer),
    }


def print_report(result: dict[str, Any]) -> None:
    """Prints what `report` found."""
    for label, text in result["samples"].items():
        print(f"\n[{label}]\n{text}")
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
