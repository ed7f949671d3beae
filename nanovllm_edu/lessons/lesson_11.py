"""Exercises of lesson 11: the ridge between memory and arithmetic, and the floor under a step."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    greedy,
    number,
    require,
)
from nanovllm_edu.lessons.exercise import Exercise

# ----------------------------------------------------------------------- 11.1 the ridge

RidgeTokens = Callable[[float, float, float], Any]
MACHINES = ((1e14, 1e12, 2), (5e13, 2e12, 4), (2e13, 4e11, 1))
"""(operations per second, bytes per second, bytes of a weight)."""


def _check_ridge(ridge_tokens: RidgeTokens, random: Random) -> str:
    fresh = [
        (random.randint(1, 900) * 1e12, random.randint(100, 8000) * 1e9, random.choice((1, 2, 4)))
        for _ in range(3)
    ]
    for flops, bandwidth, bytes_per_weight in (*MACHINES, *fresh):
        call = f"ridge_tokens({flops:.3g}, {bandwidth:.3g}, {bytes_per_weight})"
        got = number(ridge_tokens(flops, bandwidth, bytes_per_weight), call)
        read, compute = _step_times(max(got, 1e-9), flops, bandwidth, bytes_per_weight)
        is_close = abs(read - compute) <= 1e-6 * read
        is_rounded = got == int(got) and abs(read - compute) <= compute / max(got, 1)
        why = _why_that_ridge(got, flops, bandwidth, bytes_per_weight)
        require(
            got > 0 and (is_close or is_rounded),
            f"{call}: with your {got:.4g} tokens in a step, a model of a billion weights takes "
            f"{read * 1e3:.4g} ms to be read and {compute * 1e3:.4g} ms to be computed with. At "
            f"the ridge both are the same.{why}",
        )
    h200 = _ridge(989.5e12, 4.8e12, 2)
    return f"Right for every machine. An H200 in bfloat16: {h200:.0f} tokens in a step."


def _step_times(
    num_tokens: float, flops: float, bandwidth: float, bytes_per_weight: float
) -> tuple[float, float]:
    """Seconds to read a billion weights, and to compute with them for every token."""
    num_weights = 1e9
    return num_weights * bytes_per_weight / bandwidth, 2 * num_weights * num_tokens / flops


def _ridge(flops: float, bandwidth: float, bytes_per_weight: float) -> float:
    return flops * bytes_per_weight / (2 * bandwidth)


def _why_that_ridge(got: float, flops: float, bandwidth: float, bytes_per_weight: float) -> str:
    want = _ridge(flops, bandwidth, bytes_per_weight)
    mistakes = {
        "A token needs two operations per weight, a product and a sum.": 2 * want,
        "Bandwidth is in bytes, not in weights.": want / bytes_per_weight,
        "That is operations per byte, the balance of the machine.": flops / bandwidth,
        "It is the other way round: operations over bytes.": 1 / want,
    }
    near = [text for text, value in mistakes.items() if abs(got - value) <= 1e-6 * value]
    return f" {near[0]}" if near else ""


RIDGE = Exercise(
    "11.1",
    "The ridge",
    "ridge_tokens",
    "medium",
    (
        "How long does it take to read one weight? And to compute with it, for one token?",
        "Reading a weight takes bytes_per_weight / bandwidth seconds. Each token of the step needs "
        "a product and a sum with it: 2 / flops seconds. With how many tokens are both the same?",
        "flops * bytes_per_weight / (2 * bandwidth)",
    ),
    _check_ridge,
)

# ------------------------------------------------------------------------- 11.2 the floor

FloorMs = Callable[[StepRecord, int, int, float], Any]
WEIGHT_BYTES, KV_BYTES_PER_TOKEN, BANDWIDTH = 1_192_000_000, 114_688, 4.25e12
"""Qwen3-0.6B in bfloat16, and the copy bandwidth of one H200."""


REQUESTS = ((30, 6), (200, 4), (5, 8))
"""(prompt tokens, new tokens)."""


def _decode_steps(requests: Sequence[tuple[int, int]]) -> list[StepRecord]:
    """Real steps: sequences of different lengths decode until the last one is done."""
    engine = checksum_engine(num_blocks=64, block_size=16)
    for i, (length, max_tokens) in enumerate(requests):
        engine.add_request([(31 * i + j) % 1000 for j in range(length)], greedy(max_tokens))
    return finish(engine)[1:]


def _check_floor(floor_ms: FloorMs, random: Random) -> str:
    fresh = [(random.randint(1, 150), random.randint(2, 6)) for _ in range(4)]
    steps = [*_decode_steps(REQUESTS), *_decode_steps(fresh)]
    for record in steps:
        got = floor_ms(record, WEIGHT_BYTES, KV_BYTES_PER_TOKEN, BANDWIDTH)
        got = number(got, "What floor_ms gives, in milliseconds,")
        context_lens = [span.end for span in record.spans]
        num_bytes = WEIGHT_BYTES + KV_BYTES_PER_TOKEN * sum(context_lens)
        want = num_bytes / BANDWIDTH * 1e3
        require(
            abs(got - want) <= 1e-6 * want,
            f"Step {record.step_id} decodes with contexts of {context_lens} tokens: its floor is "
            f"{want:.6f} ms; you gave {got:.6f}." + _why_that_floor(got, want, record),
        )
    return f"{len(steps)} decode steps, each with its floor."


def _why_that_floor(got: float, want: float, record: StepRecord) -> str:
    kv = KV_BYTES_PER_TOKEN * sum(span.end for span in record.spans)
    per_ms = BANDWIDTH / 1e3
    num_sequences = len(record.spans)
    mistakes = {
        "Those are seconds.": want / 1e3,
        "The keys and values of every context are read too.": WEIGHT_BYTES / per_ms,
        "The weights are read once per step, for all sequences together.": (
            num_sequences * WEIGHT_BYTES + kv
        )
        / per_ms,
        "Attention reads the whole context of a sequence, not only the new token.": (
            WEIGHT_BYTES + KV_BYTES_PER_TOKEN * record.num_tokens
        )
        / per_ms,
    }
    for message, value in mistakes.items():
        if abs(got - value) <= 1e-6 * value:
            return " " + message
    return ""


FLOOR = Exercise(
    "11.2",
    "The floor under a step",
    "floor_ms",
    "medium",
    (
        "Which bytes must cross from memory to the arithmetic units in one decode step?",
        "All weights once, and the keys and values of every token of every context. span.end is "
        "the length of a context.",
        "num_bytes = weight_bytes + kv_bytes_per_token * sum(span.end for span in "
        "record.spans); return num_bytes / bandwidth * 1000",
    ),
    _check_floor,
)

EXERCISES = (RIDGE, FLOOR)
