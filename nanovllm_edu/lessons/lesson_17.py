"""Exercises of lesson 17, a clock you can trust: count a request's work, and fit a device."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from nanovllm_edu.core.events import counted
from nanovllm_edu.lessons.checks import items, number, require, whole_number
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.hidden_device import hidden_engine, of_seconds, record
from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens
from nanovllm_edu.virtual.calibration import Seconds
from nanovllm_edu.virtual.fit import Sample, samples_of
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.work import work_of

# -------------------------------------------------------------------- 17.1 count the work

KvTokensRead = Callable[[int, int], Any]
REQUESTS = ((10, 1), (10, 2), (3, 5), (100, 20))
"""(prompt tokens, answer tokens)."""


def _read_by_engine(num_prompt_tokens: int, num_output_tokens: int) -> int:
    """Counted from the plans of a real engine."""
    engine = virtual_engine(of_seconds(Seconds()), num_blocks=64)
    prompt = list(range(num_prompt_tokens))
    recording = record(engine, [Arrival(0.0, prompt, num_output_tokens)])
    return sum(work_of(step.plan).kv_tokens for step in recording)


def _check_kv_tokens_read(kv_tokens_read: KvTokensRead, random: Random) -> str:
    fresh = [(random.randint(2, 200), random.randint(2, 60)) for _ in range(4)]
    for prompt, answer in (*REQUESTS, *fresh):
        call = f"kv_tokens_read({prompt}, {answer})"
        got = whole_number(kv_tokens_read(prompt, answer), call)
        want = _read_by_engine(prompt, answer)
        require(
            got != want + prompt + answer,
            f"{call} is {want:,}; you gave {got:,}, which counts one decode step too many. The "
            "first token of the answer comes out of the prompt's step, not out of a decode step.",
        )
        steps = counted(answer - 1, "decode step")
        require(
            got == want,
            f"{call} is {want:,}, counted in the engine; you gave {got:,}. It "
            f"takes {steps}, and each reads all tokens that are there, its own "
            "included.",
        )
    return f"{len(REQUESTS) + len(fresh)} requests counted as the engine counts them."


KV_TOKENS_READ = Exercise(
    "17.1",
    "Count the work",
    "kv_tokens_read",
    "easy",
    (
        "How many decode steps does an answer of n tokens take, if its first token comes out of "
        "the prompt's step?",
        "In the first decode step there are p + 1 tokens, in the next one p + 2, and so on.",
        "return sum(num_prompt_tokens + i for i in range(1, num_output_tokens))",
    ),
    _check_kv_tokens_read,
)

# ------------------------------------------------------------------------- 17.2 fit it

FitClock = Callable[[list[tuple[int, int, float]]], Any]
LARGEST_ERROR = 0.05


def _batch(random: Random, rows: int, longest: int) -> list[Arrival]:
    return [
        Arrival(0.0, draw_tokens(random, random.randint(2, longest)), random.randint(20, 120))
        for _ in range(rows)
    ]


def _decodes(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.work.prompts]


def _given(samples: Sequence[Sample]) -> list[tuple[int, int, float]]:
    """What a learner is given: rows, KV tokens, seconds."""
    return [(s.work.rows, s.work.kv_tokens, s.seconds) for s in samples]


def _check_fit_clock(fit_clock: FitClock, random: Random) -> str:
    worst = 0.0
    for seed in (17, random.randrange(2**31), random.randrange(2**31)):
        draw = Random(seed)
        runs = [record(hidden_engine(seed), _batch(draw, n, longest))
                for n, longest in ((24, 60), (6, 400))]  # fmt: skip
        seen = _decodes([sample for run in runs for sample in samples_of(run)])
        constants = _constants(fit_clock(_given(seen)))
        for rows, longest in ((2, 500), (30, 30), (12, 200)):
            hidden = record(hidden_engine(seed), _batch(draw, rows, longest))
            worst = max(worst, _error(constants, _decodes(list(samples_of(hidden))), rows))
    return f"Nine hidden runs on three devices, each predicted within {worst:.1%}."


def _constants(got: Any) -> tuple[float, float, float]:
    values = [number(value, f"Constant {i}") for i, value in enumerate(items(got, "What you fit"))]
    require(
        len(values) == 3,
        f"Give three constants: seconds per step, per row and per KV token; you gave "
        f"{len(values)}.",
    )
    for name, value in zip(("step", "row", "KV token"), values, strict=True):
        require(
            value == value and value > -1e-9,
            f"You found {value:.3g} seconds per {name}; nothing takes less than no time.",
        )
    return values[0], values[1], values[2]


def _error(constants: tuple[float, float, float], hidden: Sequence[Sample], rows: int) -> float:
    """By how much the constants miss a run that they were not fitted to."""
    step, row, kv = constants
    predicted = sum(step + row * s.work.rows + kv * s.work.kv_tokens for s in hidden)
    measured = sum(sample.seconds for sample in hidden)
    error = abs(predicted / measured - 1)
    require(
        error <= LARGEST_ERROR,
        f"A hidden run that begins with {rows} rows took {1e3 * measured:.1f} ms; your constants "
        f"({step:.3g}, {row:.3g}, {kv:.3g}) predict {1e3 * predicted:.1f} ms, which is "
        f"{predicted / measured - 1:+.0%}. Within {LARGEST_ERROR:.0%} will do.",
    )
    return error


FIT_CLOCK = Exercise(
    "17.2",
    "Fit the clock",
    "fit_clock",
    "medium",
    (
        "Every sample is an equation: seconds = step + row * num_rows + kv * kv_tokens. There are "
        "hundreds of them, and three unknowns.",
        "nonnegative, which the fit above uses, takes a row for each sample and the value that it "
        "should come to (numpy.linalg.lstsq does, too). What is the column that goes with the "
        "seconds per step?",
        "return nonnegative([(1, rows, kv) for rows, kv, _ in samples], [s for *_, s in samples])",
    ),
    _check_fit_clock,
)

EXERCISES = (KV_TOKENS_READ, FIT_CLOCK)
