"""Exercise of lesson 00, first contact: the loop around `engine.step()`."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    greedy,
    require,
    require_written,
    whole_numbers,
)
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.runners.checksum import expected_tokens

RunToEnd = Callable[[LLMEngine], Any]
Requests = Sequence[tuple[list[int], int]]

REQUESTS = ((list(range(1, 8)), 4), ([11, 12], 9), (list(range(20, 40)), 2))
"""(prompt, max_tokens): three that end at different times."""


def _check_run_to_end(run_to_end: RunToEnd, random: Random) -> str:
    _check_requests(run_to_end, REQUESTS)
    for num_requests in (1, 4):
        _check_requests(run_to_end, _random_requests(random, num_requests))
    return "Requests of every length, every token in its place. This is `generate`."


def _random_requests(random: Random, num_requests: int) -> Requests:
    return [
        ([random.randrange(1000) for _ in range(random.randint(1, 9))], random.randint(1, 60))
        for _ in range(num_requests)
    ]


def _check_requests(run_to_end: RunToEnd, requests: Requests) -> None:
    engine = checksum_engine(num_blocks=64, max_num_seqs=2)
    num_steps = 0
    step = engine.step

    def counted_step() -> Any:
        nonlocal num_steps
        require(
            engine.has_unfinished_requests(),
            f"You took a step after step {num_steps}, when nothing was left to do. Do not count "
            "steps: ask the engine whether it has unfinished requests.",
        )
        num_steps += 1
        return step()

    engine.step = counted_step
    for prompt, max_tokens in requests:
        engine.add_request(list(prompt), greedy(max_tokens))
    _compare_all(run_to_end(engine), engine, requests)


def _compare_all(got: Any, engine: LLMEngine, requests: Requests) -> None:
    require_written(got)
    require(
        isinstance(got, Mapping), f"Return a dict; you gave {type(got).__name__}: {shown(got)}."
    )
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
    for seq_id, (prompt, max_tokens) in enumerate(requests):
        _compare(got, seq_id, expected_tokens(prompt, greedy(max_tokens), 0))


def _compare(got: Mapping[int, Any], seq_id: int, want: list[int]) -> None:
    require(seq_id in got, f"Sequence {seq_id} is missing; you returned {shown(list(got))}.")
    tokens = got[seq_id]
    is_last = isinstance(tokens, int) or (len(want) > 1 and shown(tokens) == shown((want[-1],)))
    require(
        not is_last,
        f"Sequence {seq_id} got {len(want)} tokens, {want}; you kept only what came last: "
        f"{shown(tokens)}.",
    )
    _require_flat(tokens, seq_id)
    tokens = whole_numbers(tokens, f"What you collected of sequence {seq_id}")
    require(
        tokens == want,
        f"Sequence {seq_id} got the tokens {want}; you collected {shown(tokens)}.",
    )


def _require_flat(tokens: Any, seq_id: int) -> None:
    """One step may bring several tokens, so a record has a tuple of them for each sequence."""
    nested = isinstance(tokens, (list, tuple)) and any(isinstance(t, (list, tuple)) for t in tokens)
    require(
        not nested,
        f"What you collected of sequence {seq_id} is {shown(tokens)}: a tuple for each step. A "
        "step may bring several tokens, so each value of record.new_tokens is a tuple; take its "
        "tokens, not the tuple itself (`extend`, not `append`).",
    )


RUN_TO_END = Exercise(
    "00.1",
    "Your own generate",
    "run_to_end",
    "easy",
    (
        "Two things happen in every round: take a step, put its new tokens where they belong.",
        "Loop while engine.has_unfinished_requests(). In the loop, go through "
        "record.new_tokens.items().",
        "A step may bring several tokens of a sequence, so each value is a tuple: "
        "tokens.setdefault(seq_id, []).extend(new) for each pair; return tokens after the loop.",
    ),
    _check_run_to_end,
)

EXERCISES = (RUN_TO_END,)
