"""Exercises of lesson 08, preemption: what it costs, and how to do without it."""

from collections.abc import Callable, Sequence
from typing import Any

from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import checksum_engine, require, require_int
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


def _check_num_recomputed(num_recomputed: NumRecomputed) -> str:
    runs = {
        "a pool with room for all": run(40),
        "a small pool": run(9),
        "a small pool without prefix caching": run(9, enable_prefix_caching=False),
        "a small pool, prompts in chunks": run(10, prompt=11, max_num_batched_tokens=8),
    }
    for name, served in runs.items():
        got = num_recomputed(served.records)
        require_int(got, f"The number of recomputed tokens in {name}")
        want = served.num_recomputed_tokens
        require(
            got == want,
            f"In {name}, {want} tokens went through the model a second time; you found {got}."
            + _why_that_number(got, served),
        )
    return f"{len(runs)} runs, every recomputed token found."


def _why_that_number(got: int, served: Served) -> str:
    lost = sum(event.num_lost_tokens for event in preemptions(served.records))
    mistakes = {
        lost: "That is what the preemptions lost. Some of it is found in the cache again.",
        served.num_preemptions: "That is the number of preemptions.",
        sum(record.num_tokens for record in served.records): "Those are all computed tokens.",
    }
    return " " + mistakes[got] if got in mistakes else ""


NUM_RECOMPUTED = Exercise(
    "08.1",
    "Computed twice",
    "num_recomputed",
    (
        "Every chunk says which positions of which sequence it computes: [chunk.start, chunk.end).",
        "Collect the pairs (seq_id, position) in a set. Whoever is already in it is recomputed.",
        "for record in records: for chunk in record.chunks: for position in range(chunk.start, "
        "chunk.end): if (chunk.seq_id, position) in seen: count += 1, else add it.",
    ),
    _check_num_recomputed,
)

# --------------------------------------------------------------- 08.2 room for how many?

MaxRunning = Callable[[int, int, int, int], Any]
SHAPES = ((40, 16, 64, 64), (40, 16, 64, 65), (24, 4, 7, 12), (23, 4, 5, 8), (30, 4, 8, 5))
"""(num_blocks, block_size, prompt tokens, max_tokens)."""


def _check_max_running(max_running: MaxRunning) -> str:
    for num_blocks, block_size, prompt, max_tokens in SHAPES:
        call = f"max_running({num_blocks}, {block_size}, {prompt}, {max_tokens})"
        got = max_running(num_blocks, block_size, prompt, max_tokens)
        require_int(got, call)
        require(got >= 1, f"{call}: you gave {got}; at least one sequence fits.")
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
                    f"{call}: with {got} running, the engine preempts {served.num_preemptions} "
                    f"time(s). Each sequence grows to {length} tokens, and its last block is "
                    "its own even if it is partly filled.",
                )
                continue
            require(
                served.num_preemptions > 0,
                f"{call}: {got} is safe, but so is {got + 1}. The last token of a sequence is "
                "sampled and never computed: it needs no slot.",
            )
    return f"{len(SHAPES)} pools filled to the last sequence, and not one preemption."


MAX_RUNNING = Exercise(
    "08.2",
    "Room for how many?",
    "max_running",
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
