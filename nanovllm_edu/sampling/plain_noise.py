"""The noise of `random.py` in plain Python: how (seed, position, token id) becomes a number.

    first, second = row_keys(seed, position)
    gumbel_noise(first, second, vocab_size)[token_id]

Every step but the last is on integers, so the bits are those of the tensors and of the kernels.

Read next: `plain.py`.
"""

from array import array
from math import log

MULTIPLIERS = (0x21F0AAAD, 0xD35A2D97)
"""The mixer's two odd multipliers, as unsigned 32-bit numbers."""

SHIFTS = (16, 15, 15)
"""The mixer's three shifts."""

KEY_STARTS = (0x9E3779B9, 0x85EBCA6B)
"""Where the hashes of a row's two keys begin: any two different numbers will do."""

END = 2**32


def gumbel_noise(first_key: int, second_key: int, vocab_size: int) -> "array[float]":
    """Noise for each token id of one row, in float32."""
    bits = (mix(mix(token_id ^ first_key) ^ second_key) for token_id in range(vocab_size))
    return array("f", (gumbel_of(uniform_of(each)) for each in bits))


def row_keys(seed: int, position: int) -> tuple[int, int]:
    """Hashes the words of (seed, position) one after the other, from two starts."""
    first, second = KEY_STARTS
    for word in (seed % END, (seed >> 32) % END, position % END):
        first, second = mix(first ^ word), mix(second ^ word)
    return first, second


def mix(bits: int) -> int:
    """Scrambles 32 bits; different inputs give different outputs."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        bits = (bits ^ bits >> shift) * multiplier % END
    return bits ^ bits >> SHIFTS[-1]


def uniform_of(bits: int) -> float:
    """The top 23 bits as an odd multiple of 2**-24: never 0 and never 1."""
    return (bits >> 9) * 2.0**-23 + 2.0**-24


def gumbel_of(uniform: float) -> float:
    """Gumbel noise by inverting its distribution function exp(-exp(-x))."""
    return -log(-log(uniform))
