"""Exercise of lesson 00, first contact: the loop around `engine.step()`."""

from collections.abc import Callable
from typing import Any

from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.checks import checksum_engine, greedy, require, require_written
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.runners.checksum import expected_tokens

REQUESTS = ((list(range(1, 8)), 4), ([11, 12], 9), (list(range(20, 40)), 2))
"""(prompt, max_tokens): three that end at different times."""


def _check_run_to_end(run_to_end: Callable[[LLMEngine], Any]) -> str:
    engine = checksum_engine(max_num_seqs=2)
    for prompt, max_tokens in REQUESTS:
        engine.add_request(prompt, greedy(max_tokens))
    got = run_to_end(engine)
    require_written(got)
    require(isinstance(got, dict), f"Return a dict; you gave {type(got).__name__}: {got!r}.")
    unfinished = sorted(engine.unfinished_seq_ids())
    require(
        not (unfinished and not got),
        "You never took a step: before the first one every sequence waits and none runs.",
    )
    require(
        not unfinished,
        f"You stopped while sequences {unfinished} were unfinished. Ask the engine whether it has "
        "unfinished requests.",
    )
    for seq_id, (prompt, max_tokens) in enumerate(REQUESTS):
        _compare(got, seq_id, expected_tokens(prompt, greedy(max_tokens), 0))
    return "Three requests of 4, 9 and 2 tokens, every token in its place. This is `generate`."


def _compare(got: dict[int, Any], seq_id: int, want: list[int]) -> None:
    require(seq_id in got, f"Sequence {seq_id} is missing; you returned {sorted(got)}.")
    tokens = got[seq_id]
    require(
        not isinstance(tokens, int),
        f"Sequence {seq_id} got {len(want)} tokens, {want}; you kept only one of them: {tokens}.",
    )
    require(
        list(tokens) == want,
        f"Sequence {seq_id} got the tokens {want}; you collected {tokens!r}.",
    )


RUN_TO_END = Exercise(
    "00.1",
    "Your own generate",
    "run_to_end",
    (
        "Two things happen in every round: take a step, put its new tokens where they belong.",
        "Loop while engine.has_unfinished_requests(). In the loop, go through "
        "record.new_tokens.items().",
        "tokens.setdefault(seq_id, []).append(token_id) for each pair; return tokens after the "
        "loop.",
    ),
    _check_run_to_end,
)

EXERCISES = (RUN_TO_END,)
