"""Exercises of lesson 11: the bytes of a token, and the floor under a decode step."""

from collections.abc import Callable
from typing import Any

import torch

from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    greedy,
    require,
    require_int,
    require_written,
)
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.paged.kv_cache import KVCache

# ----------------------------------------------------------------- 11.1 bytes of a token

KVBytes = Callable[[int, int, int, int], Any]
SHAPES = ((5, 3, 64, torch.float32), (28, 8, 128, torch.bfloat16), (3, 1, 16, torch.float32))
"""(layers, KV heads, head_dim, dtype); the second is Qwen3-0.6B."""


def _check_kv_bytes(kv_bytes_per_token: KVBytes) -> str:
    for num_layers, num_kv_heads, head_dim, dtype in SHAPES:
        size = dtype.itemsize
        call = f"kv_bytes_per_token({num_layers}, {num_kv_heads}, {head_dim}, {size})"
        got = kv_bytes_per_token(num_layers, num_kv_heads, head_dim, size)
        require_int(got, call)
        cache = KVCache.allocate(
            num_layers=num_layers,
            num_blocks=3,
            block_size=4,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            dtype=dtype,
            device=torch.device("cpu"),
        )
        num_slots = cache.data.shape[2] * cache.data.shape[3]
        want = cache.data.nbytes // num_slots
        require(
            got == want,
            f"{call}: the engine's cache takes {want:,} bytes for each token; you gave {got:,}."
            + _what_is_missing(got, want, num_layers, num_kv_heads, size),
        )
    return f"{len(SHAPES)} caches measured, and each token takes what you say."


def _what_is_missing(got: int, want: int, num_layers: int, num_kv_heads: int, size: int) -> str:
    mistakes = {
        2: "A token has a key and a value.",
        num_layers: "Every layer has a cache of its own.",
        num_kv_heads: "Every KV head has its own key and value.",
        size: "Those are numbers, not bytes.",
    }
    return (
        " " + mistakes[want // got] if got and want % got == 0 and want // got in mistakes else ""
    )


KV_BYTES = Exercise(
    "11.1",
    "The bytes of a token",
    "kv_bytes_per_token",
    (
        "In every layer a token leaves one key and one value per KV head.",
        "A key has head_dim numbers, and so has a value. A number takes bytes_per_value bytes.",
        "2 * num_layers * num_kv_heads * head_dim * bytes_per_value",
    ),
    _check_kv_bytes,
)

# ------------------------------------------------------------------------- 11.2 the floor

FloorMs = Callable[[StepRecord, int, int, float], Any]
WEIGHT_BYTES, KV_BYTES_PER_TOKEN, BANDWIDTH = 1_192_000_000, 114_688, 4.25e12
"""Qwen3-0.6B in bfloat16, and the copy bandwidth of one H200."""


def _decode_steps() -> list[StepRecord]:
    """Real steps: three sequences of different lengths decode until the last one is done."""
    engine = checksum_engine(num_blocks=64, block_size=16)
    for i, (length, max_tokens) in enumerate(((30, 6), (200, 4), (5, 8))):
        engine.add_request([(31 * i + j) % 1000 for j in range(length)], greedy(max_tokens))
    return finish(engine)[1:]


def _check_floor(floor_ms: FloorMs) -> str:
    for record in _decode_steps():
        got = floor_ms(record, WEIGHT_BYTES, KV_BYTES_PER_TOKEN, BANDWIDTH)
        require_written(got)
        is_number = isinstance(got, (int, float)) and not isinstance(got, bool)
        require(is_number, f"floor_ms gave {got!r}; return a number of milliseconds.")
        context_lens = [chunk.end for chunk in record.chunks]
        num_bytes = WEIGHT_BYTES + KV_BYTES_PER_TOKEN * sum(context_lens)
        want = num_bytes / BANDWIDTH * 1e3
        require(
            abs(got - want) <= 1e-9 * want,
            f"Step {record.step_id} decodes with contexts of {context_lens} tokens: its floor is "
            f"{want:.6f} ms; you gave {got:.6f}." + _why_that_floor(got, want, record),
        )
    return "Seven decode steps, each with its floor."


def _why_that_floor(got: float, want: float, record: StepRecord) -> str:
    kv = KV_BYTES_PER_TOKEN * sum(chunk.end for chunk in record.chunks)
    per_ms = BANDWIDTH / 1e3
    num_sequences = len(record.chunks)
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
        if abs(got - value) <= 1e-9 * value:
            return " " + message
    return ""


FLOOR = Exercise(
    "11.2",
    "The floor under a step",
    "floor_ms",
    (
        "Which bytes must cross from memory to the arithmetic units in one decode step?",
        "All weights once, and the keys and values of every token of every context. chunk.end is "
        "the length of a context.",
        "num_bytes = weight_bytes + kv_bytes_per_token * sum(chunk.end for chunk in "
        "record.chunks); return num_bytes / bandwidth * 1000",
    ),
    _check_floor,
)

EXERCISES = (KV_BYTES, FLOOR)
