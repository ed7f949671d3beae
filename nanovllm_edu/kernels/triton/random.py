"""Gumbel noise from (seed, position, token id): the hash of `sampling/random.py`, in Triton.

No state is kept: any kernel can compute any token's noise, in any order, with the same result.

Reference: `sampling/random.py`, equal bit for bit up to the logarithms. Those were most of the
work, so they are the hardware's: one instruction instead of twenty. It is off by up to 2^-22, which
is nothing except in -log(u) of a u near 1, and the tokens with such a u are those that win. There
-log(1 - v) is a short series in v = 1 - u, which float32 holds exactly.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

from nanovllm_edu.kernels.triton.launch import IS_INTERPRETED
from nanovllm_edu.sampling.random import KEY_STARTS, MULTIPLIERS, SHIFTS

_IS_INTERPRETED = tl.constexpr(IS_INTERPRETED)
_FIRST_MULTIPLIER = tl.constexpr(MULTIPLIERS[0])
_SECOND_MULTIPLIER = tl.constexpr(MULTIPLIERS[1])
_FIRST_SHIFT = tl.constexpr(SHIFTS[0])
_SECOND_SHIFT = tl.constexpr(SHIFTS[1])
_THIRD_SHIFT = tl.constexpr(SHIFTS[2])
_FIRST_KEY_START = tl.constexpr(KEY_STARTS[0])
_SECOND_KEY_START = tl.constexpr(KEY_STARTS[1])


@triton.jit
def mix(bits):
    """Scrambles uint32 bits, one to one."""
    bits = (bits ^ (bits >> _FIRST_SHIFT)) * tl.full([], _FIRST_MULTIPLIER, tl.uint32)
    bits = (bits ^ (bits >> _SECOND_SHIFT)) * tl.full([], _SECOND_MULTIPLIER, tl.uint32)
    return bits ^ (bits >> _THIRD_SHIFT)


@triton.jit
def row_key(seeds, positions, START: tl.constexpr):
    """Hashes the three words of each (seed, position), one after the other: uint32 [M]."""
    low = seeds.to(tl.uint32)
    high = (seeds >> 32).to(tl.uint32)
    return mix(mix(mix(low ^ tl.full([], START, tl.uint32)) ^ high) ^ positions.to(tl.uint32))


@triton.jit
def gumbel_noise(seeds, positions, token_ids):
    """Noise of each (seed, position) with each token: float32 [M, N] from int64 [M], [M], [N]."""
    first_keys = row_key(seeds, positions, _FIRST_KEY_START)
    second_keys = row_key(seeds, positions, _SECOND_KEY_START)
    bits = mix(token_ids.to(tl.uint32)[None, :] ^ first_keys[:, None])
    bits = mix(bits ^ second_keys[:, None])
    uniform = (bits >> 9).to(tl.float32) * (2.0**-23) + 2.0**-24
    rest = 1.0 - uniform
    series = rest * (1 + rest * (1 / 2 + rest * (1 / 3 + rest * (1 / 4 + rest * (1 / 5)))))
    exponential = tl.where(rest < 2.0**-4, series, -fast_log(uniform))
    return -fast_log(exponential)


@triton.jit
def fast_log(x):
    """The natural logarithm, absolutely off by at most 2^-22 around 1."""
    if _IS_INTERPRETED:
        return tl.log(x)
    else:
        return libdevice.fast_logf(x)
