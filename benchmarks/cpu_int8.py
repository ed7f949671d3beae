"""What weights in 8 bits bring on one core, and what they cost the model in the box.

    python benchmarks/cpu_int8.py     # two minutes; prints tables in Markdown

Time is the processor's, not the clock's, so it holds on a busy machine too; each is the best of
several, taken in turns. Answers are those of `training/`, which the model was not trained on; the
"same next token" is asked at every position of the model's own answers, after the same text.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: processor time is to be one core's

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.layers.packed import Gemm
from nanovllm_edu.native.gemm import Int8Gemm, NativeGemm

sys.path.insert(0, str(Path(__file__).parents[1]))
from training.hand_written import hand_written_questions
from training.questions import held_out_questions, is_right

SHAPES = ((2560, 256), (3072, 1024), (6144, 1024), (32768, 1024))
ROWS = (1, 4, 16, 64)
REPEATS = 15


def best_of_each(products: Sequence[Gemm], x: Tensor, weight: Tensor) -> list[float]:
    """Seconds of the fastest call of each."""
    best = [float("inf")] * len(products)
    for _ in range(REPEATS):
        for which, product in enumerate(products):
            begin = time.process_time()
            product(x, weight)
            best[which] = min(best[which], time.process_time() - begin)
    return best


def print_speed() -> None:
    """One product, by shape and number of rows."""
    print("| outputs x inputs | rows | float32, us | int8, us | int8 is |")
    print("|---|---|---|---|---|")
    for outputs, inputs in SHAPES:
        weight = torch.randn(outputs, inputs)
        products = NativeGemm(), Int8Gemm(weight)
        for rows in ROWS:
            x = torch.randn(rows, inputs)
            slow, fast = best_of_each(products, x, weight)
            times = f"{slow * 1e6:.0f} | {fast * 1e6:.0f}"
            print(f"| {outputs} x {inputs} | {rows} | {times} | {slow / fast:.2f} times as fast |")


def print_loss() -> None:
    """Questions, and the next token after the same text."""
    greedy = SamplingParams(temperature=0, max_tokens=80)
    full, small = LLM(), LLM(weight_dtype="int8")
    for name, questions in (
        ("held-out", held_out_questions(200)),
        ("hand-written", hand_written_questions()),
    ):
        chats = [[{"role": "user", "content": question.text}] for question in questions]
        right = []
        for llm in (full, small):
            answers = llm.chat(chats, greedy)
            pairs = zip(answers, questions, strict=True)
            right.append(sum(is_right(answer.text, asked.fact) for answer, asked in pairs))
        print(f"{name} questions right: {right[0]} of {len(questions)}, in 8 bits {right[1]}")
    print(f"same next token: {same_next_tokens(full, small, chats):.2%}")
    print(f"products: {small.info.choices['products'][1]}")


def same_next_tokens(full: LLM, small: LLM, chats: list) -> float:
    """The share of positions of the first one's answers where both would go on alike."""
    answers = full.chat(chats, SamplingParams(temperature=0, max_tokens=80))
    prompts = [
        [*answer.prompt_token_ids, *answer.token_ids[:end]]
        for answer in answers
        for end in range(len(answer.token_ids))
    ]
    wanted = [token_id for answer in answers for token_id in answer.token_ids]
    nexts = small.generate(prompts, SamplingParams(temperature=0, max_tokens=1))
    found = [output.token_ids[0] for output in nexts]
    return sum(map(int.__eq__, wanted, found)) / len(wanted)


if __name__ == "__main__":
    print_speed()
    print_loss()
