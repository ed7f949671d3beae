"""Exercises of lesson 08, preemption: what it costs, and how to do without it."""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import checksum_engine, require, whole_number
from nanovllm_edu.lessons.clock import Arrival, Served, preemptions, serve
from nanovllm_edu.lessons.exercise import Exercise


def run(
    num_blocks: int,
    *,
    prompt: int = 7,
    max_tokens: int = 12,
    num_requests: int = 4,
    block_size: int = 4,
    **options: Any,
) -> Served:
    """Requests of one shape that arrive together, served on a small pool."""
    engine = checksum_engine(num_blocks, block_size, **options)
    arrivals = [
        Arrival(0.0, [(17 * i + j) % 1000 for j in range(prompt)], max_tokens)
        for i in range(num_requests)
    ]
    return serve(engine, arrivals)


# -------------------------------------------------------------------- 08.1 computed twice

NumRecomputed = Callable[[Sequence[StepRecord]], Any]


def _again_and_again() -> Served:
    """A run in which some tokens are computed three times or more."""
    return run(8, num_requests=6, max_tokens=18, enable_prefix_caching=False)


def _check_num_recomputed(num_recomputed: NumRecomputed, random: Random) -> str:
    runs = {
        "a pool with room for all": run(40),
        "a small pool": run(9),
        "a small pool without prefix caching": run(9, enable_prefix_caching=False),
        "a small pool, prompts in chunks": run(10, prompt=11, max_num_batched_tokens=8),
        "a pool where some are sent back more than once": _again_and_again(),
        "a random run": run(
            random.randint(8, 12),
            prompt=random.randint(3, 9),
            max_tokens=random.randint(8, 16),
            num_requests=random.randint(3, 6),
        ),
    }
    for name, served in runs.items():
        got = num_recomputed(served.records)
        got = whole_number(got, f"The number of recomputed tokens in {name}")
        want = served.num_recomputed_tokens
        require(
            got == want,
            f"In {name}, {want} tokens went through the model a second time; you found {got}."
            + _why_that_number(got, served),
        )
    return f"{len(runs)} runs, every recomputed token found."


def _why_that_number(got: int, served: Served) -> str:
    lost = sum(event.num_lost_tokens for event in preemptions(served.records))
    again = {place for place, times in _times_computed(served).items() if times > 1}
    mistakes = {
        len(again): "You count each such token once; one that is computed three times counts "
        "twice.",
        lost: "That is what the preemptions lost. Some of it is found in the cache again.",
        served.num_preemptions: "That is the number of preemptions.",
        sum(record.num_tokens for record in served.records): "Those are all computed tokens.",
    }
    return " " + mistakes[got] if got in mistakes else ""


def _times_computed(served: Served) -> Counter[tuple[int, int]]:
    return Counter(
        (span.seq_id, position)
        for record in served.records
        for span in record.spans
        for position in range(span.start, span.end)
    )


NUM_RECOMPUTED = Exercise(
    "08.1",
    "Computed twice",
    "num_recomputed",
    "medium",
    (
        "Every span says which positions of which sequence it computes: [span.start, span.end).",
        "Collect the pairs (seq_id, position) in a set. Whoever is already in it is recomputed.",
        "for record in records: for span in record.spans: for position in range(span.start, "
        "span.end): if (span.seq_id, position) in seen: count += 1, else add it.",
    ),
    _check_num_recomputed,
)

# --------------------------------------------------------------- 08.2 room for how many?

MaxRunning = Callable[[int, int, int, int], Any]
SHAPES = ((40, 16, 64, 64), (40, 16, 64, 65), (24, 4, 7, 12), (23, 4, 5, 8), (30, 4, 8, 5))
"""(num_blocks, block_size, prompt tokens, max_tokens)."""


def _random_shape(random: Random) -> tuple[int, int, int, int]:
    """A pool of which one sequence more would be admitted: its prompt still fits."""
    while True:
        shape = random.randint(12, 40), random.choice((2, 4, 8)), random.randint(1, 9), 12
        num_blocks, block_size, prompt, max_tokens = shape
        most = num_blocks // -(-(prompt + max_tokens - 1) // block_size)
        if most >= 1 and (most + 1) * -(-(prompt + 1) // block_size) <= num_blocks:
            return shape


def _check_max_running(max_running: MaxRunning, random: Random) -> str:
    fresh = [_random_shape(random) for _ in range(3)]
    for num_blocks, block_size, prompt, max_tokens in (*SHAPES, *fresh):
        call = f"max_running({num_blocks}, {block_size}, {prompt}, {max_tokens})"
        got = whole_number(max_running(num_blocks, block_size, prompt, max_tokens), call)
        require(got >= 1, f"{call}: you gave {got}; at least one sequence fits.")
        require(
            got <= num_blocks,
            f"{call}: you gave {got}, and there are only {num_blocks} blocks: each sequence needs "
            "at least one of its own.",
        )
        length = prompt + max_tokens
        for num_running in (got, got + 1):
            served = run(
                num_blocks,
                prompt=prompt,
                max_tokens=max_tokens,
                num_requests=num_running,
                block_size=block_size,
                max_num_seqs=num_running,
            )
            if num_running == got:
                require(
                    served.num_preemptions == 0,
                    f"{call}: with {got} running, the engine preempts "
                    f"{counted(served.num_preemptions, 'time')}. Each sequence grows to "
                    f"{length} tokens, and its last block is its own even if it is partly filled.",
                )
                continue
            require(
                served.num_preemptions > 0,
                f"{call}: {got} is safe, but so is {got + 1}. The last token of a sequence is "
                "sampled and never computed: it needs no slot.",
            )
    return f"{len(SHAPES) + len(fresh)} pools filled to the last sequence, and not one preemption."


MAX_RUNNING = Exercise(
    "08.2",
    "Room for how many?",
    "max_running",
    "medium",
    (
        "How many blocks does one sequence hold at its very end?",
        "It has prompt + max_tokens tokens then, but the last one is never computed. Blocks are "
        "whole: round up for each sequence.",
        "blocks = -(-(num_prompt_tokens + max_tokens - 1) // block_size); return num_blocks // "
        "blocks",
    ),
    _check_max_running,
)

EXERCISES = (NUM_RECOMPUTED, MAX_RUNNING)
