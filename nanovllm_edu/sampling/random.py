"""Random numbers out of (seed, position, token id), without a generator that has a state.

A generator gives the *next* number, so what a sequence gets would depend on who else was in the
batch and on what ran before. Here a number is a pure function of where it is used:

    (seed, position, token id)  --hash-->  32 random bits  -->  uniform in (0, 1)  -->  Gumbel noise

The same request therefore draws the same tokens alone, in a batch, after a preemption, or in a
fork. Adding Gumbel noise to logits and taking the largest is sampling from their softmax:

    P(argmax_i(logit_i + gumbel_i) = k) = softmax(logits)_k

Everything up to the bits is 32-bit integer arithmetic that wraps around, so a kernel reproduces it
bit for bit (`kernels/`), and no number depends on the device.

It knows nothing of logits. Read next: `stages.py`; without torch, `plain_noise.py`.

Sources: counter-based generators are from Salmon et al., "Parallel random numbers: as easy as
1, 2, 3" (2011). The mixer's constants come from Chris Wellons' search for 32-bit hash functions
with little bias (hash-prospector; this pair was found by TheIronBorn). The Gumbel trick is from
Gumbel (1954); see Maddison et al., "A* sampling" (2014).
"""

import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor

from nanovllm_edu.sampling.plain_noise import KEY_STARTS, MULTIPLIERS, SHIFTS


def gumbel_noise(
    seeds: Int64[Tensor, " rows"], positions: Int[Tensor, " rows"], vocab_size: int
) -> Float[Tensor, "rows vocab"]:
    """Noise for each token id of each row, float32 in about [-2.8, 16.7]."""
    return gumbel_of(uniform_of(random_bits(seeds, positions, vocab_size)))


def random_bits(
    seeds: Int64[Tensor, " rows"], positions: Int[Tensor, " rows"], num_ids: int
) -> Int32[Tensor, "rows ids"]:
    """32 random bits for each of the ids [0, num_ids) of each row.

    Two mixes with a 32-bit key before each: with one key alone, a row's numbers could be another
    row's in a different order.
    """
    first_key, second_key = row_keys(seeds, positions)
    ids = torch.arange(num_ids, dtype=torch.int32, device=seeds.device)
    bits = mix(ids ^ first_key[:, None])
    return mix(bits.bitwise_xor_(second_key[:, None]))


def row_keys(
    seeds: Int64[Tensor, " rows"], positions: Int[Tensor, " rows"]
) -> tuple[Int32[Tensor, " rows"], Int32[Tensor, " rows"]]:
    """Hashes the words of each (seed, position) one after the other, from two starts."""
    low, high = seeds.contiguous().view(torch.int32).view(-1, 2).unbind(dim=1)
    words = (low, high, positions.to(torch.int32))
    first, second = (torch.full_like(low, _signed(start)) for start in KEY_STARTS)
    for word in words:
        first, second = mix(first ^ word), mix(second ^ word)
    return first, second


def mix(bits: Int32[Tensor, "*shape"]) -> Int32[Tensor, "*shape"]:
    """Scrambles 32 bits so that each bit of the input flips each bit of the output half the time.

    Works in place. One-to-one: different inputs give different outputs.
    """
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        bits.bitwise_xor_(_shift_right(bits, shift)).mul_(_signed(multiplier))
    return bits.bitwise_xor_(_shift_right(bits, SHIFTS[-1]))


def uniform_of(bits: Int32[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The top 23 bits as an odd multiple of 2**-24: exact in float32, never 0 and never 1."""
    return _shift_right(bits, 9).float().mul_(2.0**-23).add_(2.0**-24)


def gumbel_of(uniform: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Gumbel noise by inverting its distribution function exp(-exp(-x)). Works in place."""
    return uniform.log_().neg_().log_().neg_()


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """A shift that fills with zeros; torch's own repeats the sign bit of a signed integer."""
    return (bits >> count).bitwise_and_((1 << (32 - count)) - 1)


def _signed(value: int) -> int:
    """The int32 with the same bits as an unsigned number."""
    return value - (1 << 32) if value >= 1 << 31 else value
