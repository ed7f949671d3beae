"""Exercises of lesson 01, tokens to logits: the naive loop, and what it costs."""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.core.events import counted
from nanovllm_edu.lessons.checks import (
    greedy,
    require,
    require_equal,
    whole_number,
    whole_numbers,
)
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.naive import NaiveModel
from nanovllm_edu.llm import LLM

QUESTIONS = ("What is a token?", "Who is the baker of Willow Bay?")

LogitsOf = Callable[[list[int]], Tensor]
Generate = Callable[[LogitsOf, list[int], int, int], list[int]]


@cache
def _model() -> tuple[LLM, NaiveModel]:
    llm = LLM(num_blocks=32)
    return llm, NaiveModel.of(llm)


# ------------------------------------------------------------------------ 01.1 the naive loop


def _check_generate(generate: Generate, random: Random) -> str:
    llm, model = _model()
    (eos,) = llm.engine.runner.eos_token_ids
    for text in QUESTIONS:
        prompt = llm.tokenizer.chat_prompt([{"role": "user", "content": text}])
        for max_tokens in (5, 36):  # the longest answer has 29
            want = _engine_tokens(llm, prompt, max_tokens)
            _compare_run(generate, model, prompt, max_tokens, eos, want)
    for _ in range(2):
        prompt = [random.randrange(10, 300) for _ in range(random.randint(1, 12))]
        max_tokens = random.randint(1, 8)
        want = _naive_tokens(model, prompt, max_tokens, eos)
        _compare_run(generate, model, prompt, max_tokens, eos, want)
    return "The same tokens as the engine, with one full pass over everything for each of them."


def _compare_run(
    generate: Generate, model: NaiveModel, prompt: list[int], limit: int, eos: int, want: list[int]
) -> None:
    lengths: list[int] = []
    got = generate(_counted(model, lengths), list(prompt), limit, eos)
    _compare_tokens(whole_numbers(got, "Your answer"), want, prompt, lengths, eos)
    require(
        len(lengths) <= len(want),
        f"The tokens are right, and you called logits_of {len(lengths)} times for {len(want)} of "
        "them. One pass gives one token: keep its result.",
    )


def _naive_tokens(model: NaiveModel, prompt: list[int], max_tokens: int, eos: int) -> list[int]:
    """The loop itself: on any prompt the very same passes as a right answer makes."""
    new: list[int] = []
    while len(new) < max_tokens and eos not in new:
        new.append(int(torch.argmax(model.logits_of(prompt + new)[-1])))
    return new


def _counted(model: NaiveModel, lengths: list[int]) -> LogitsOf:
    def logits_of(token_ids: list[int]) -> Tensor:
        lengths.append(len(token_ids))
        require(len(lengths) <= 150, "You called logits_of 150 times; stop at max_tokens or eos.")
        return model.logits_of(whole_numbers(token_ids, "What you gave to logits_of"))

    return logits_of


def _engine_tokens(llm: LLM, prompt: list[int], max_tokens: int) -> list[int]:
    params = greedy(max_tokens)
    output = llm.generate([prompt], type(params)(temperature=0, max_tokens=max_tokens), False)
    return output[0].token_ids


def _compare_tokens(
    got: list[int], want: list[int], prompt: list[int], lengths: list[int], eos: int
) -> None:
    require(
        got[: len(prompt)] != prompt,
        f"You returned the prompt's {len(prompt)} tokens too; return only the new ones.",
    )
    require(
        not (got != want and len(lengths) > 1 and lengths[1] <= lengths[0]),
        f"Your second pass saw {counted(lengths[-1], 'token')} and the first one "
        f"{lengths[0]}: each pass needs the prompt and all tokens so far.",
    )
    require(
        got[: len(want)] != want or len(got) == len(want),
        f"After token {eos} (eos, end of sequence) or max_tokens the answer is over: {len(want)} "
        f"tokens. You gave {len(got)}.",
    )
    require(
        got != want[:-1],
        f"The last token is missing: the engine gives {len(want)} tokens, the end token included, "
        f"and you gave {len(got)}.",
    )
    require(
        bool(got) and got[0] == want[0],
        f"The first new token is {want[0]}; you gave {got[:1]}. Row i of the logits scores the "
        "token after position i: which row scores the next one?",
    )
    require_equal(got, want, "The greedy answer")


GENERATE = Exercise(
    "01.1",
    "The naive loop",
    "generate",
    "medium",
    (
        "Each round: score the whole sequence, take the best token of one row, append it.",
        "The row of the last token scores the next one: logits_of(tokens)[-1].argmax(). Feed "
        "prompt + everything generated back in.",
        "for _ in range(max_tokens): token = int(logits_of(prompt + new)[-1].argmax()); "
        "new.append(token); stop if token == eos.",
    ),
    _check_generate,
)


# ----------------------------------------------------------------------------- 01.2 its cost


def _check_num_computed(num_computed: Callable[[int, int], Any], random: Random) -> str:
    _, model = _model()
    fresh = [(random.randint(1, 30), random.randint(1, 12)) for _ in range(3)]
    for num_prompt, num_new in ((6, 5), (1, 4), (4, 1), (12, 20), *fresh):
        want = _measured(model, num_prompt, num_new)
        call = f"num_computed({num_prompt}, {num_new})"
        got = whole_number(num_computed(num_prompt, num_new), call)
        because = ""
        if got == num_prompt + num_new:
            because = " That is the final length: each token once. The naive loop repeats them."
        elif got == num_prompt * num_new:
            because = " Each pass is one token longer than the one before it."
        elif got == sum(range(num_prompt + 1, num_prompt + num_new + 1)):
            because = " The first pass sees the prompt alone: the new token comes out of it."
        elif got == (num_prompt + num_new) ** 2:
            because = " It grows like a square, but early passes are shorter than the last one."
        require(
            got == want,
            f"The loop was run with {num_prompt} prompt tokens and {num_new} new ones, and {want} "
            f"tokens went through the model. You gave {got}.{because}",
        )
    return "Right for every run: the cost of the naive loop grows with the square of the length."


def _measured(model: NaiveModel, num_prompt: int, num_new: int) -> int:
    """Runs the loop and counts."""
    tokens, before = list(range(3, 3 + num_prompt)), model.num_tokens_computed
    for _ in range(num_new):
        tokens.append(int(torch.argmax(model.logits_of(tokens)[-1])))
    return model.num_tokens_computed - before


NUM_COMPUTED = Exercise(
    "01.2",
    "What the naive loop costs",
    "num_computed",
    "easy",
    (
        "How many tokens does the first pass see? And the second?",
        "Pass i (from 0) sees num_prompt + i tokens, and there are num_new passes.",
        "sum(num_prompt + i for i in range(num_new)), or num_prompt * num_new + num_new * "
        "(num_new - 1) // 2.",
    ),
    _check_num_computed,
)

EXERCISES = (GENERATE, NUM_COMPUTED)
