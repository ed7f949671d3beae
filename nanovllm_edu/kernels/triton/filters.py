"""Where min-p, top-k and top-p cut: the smallest logit of each row that may still be drawn.

    logits [R, V]   ->   cut-offs [R], of which `propose.py` drops what lies below

Each filter keeps all logits from some value on, so it is one number per row, and a number can be
found without sorting the vocabulary: find its bits from the highest down, four at a time. Of the 16
numbers that begin with the bits found so far, take the largest at or above which there still lies
enough. Enough is k tokens for top-k, a share p of the probability for top-p. A bfloat16 has 16
bits, so that is four looks at a row that stays in the L2 cache; a sort of 150,000 logits moves them
through memory many times over.

    a float's bits, as a key whose unsigned order is the order of the floats:
        0 xxx  (positive)  ->  1 xxx          1 xxx  (negative)  ->  0, and xxx inverted

Equal logits share their fate, and the likeliest is never dropped, as in `sampling/stages.py`, of
which `reference` is made.

Read next: `propose.py`.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.sampling import stages

TOKENS_PER_TILE = 4096


@triton.jit
def key_of(x):
    """Bits of float32 numbers as uint32 in the same order."""
    bits = x.to(tl.uint32, bitcast=True)
    is_negative = (bits >> 31) == 1
    return bits ^ tl.where(is_negative, 0xFFFFFFFF, 0x80000000).to(tl.uint32)


@triton.jit
def number_of(key):
    """The float32 number that has this key."""
    is_positive = (key >> 31) == 1
    bits = key ^ tl.where(is_positive, 0x80000000, 0xFFFFFFFF).to(tl.uint32)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _load(row_ptr, first, V: tl.constexpr, BLOCK: tl.constexpr):
    """A tile of a row's logits, with -inf behind its end."""
    tokens = first + tl.arange(0, BLOCK)
    return tl.load(row_ptr + tokens, mask=tokens < V, other=float("-inf")).to(tl.float32)


@triton.jit
def _amounts_from(
    row_ptr, keys, factor, highest,
    N: tl.constexpr, IS_COUNT: tl.constexpr, V: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What lies at or above each of N keys: tokens, or the sum of exp((x - highest) factor)."""
    amounts = tl.zeros([N], tl.float32)
    for first in range(0, V, BLOCK):
        x = _load(row_ptr, first, V, BLOCK)
        weights = tl.full([BLOCK], 1.0, tl.float32)
        if not IS_COUNT:
            weights = tl.exp((x - highest) * factor)
        weights = tl.where(first + tl.arange(0, BLOCK) < V, weights, 0.0)
        is_counted = key_of(x)[None, :] >= keys[:, None]
        amounts += tl.sum(tl.where(is_counted, weights[None, :], 0.0), axis=1)
    return amounts


@triton.jit
def _last_key_with(
    row_ptr, enough, least_key, factor, highest,
    IS_COUNT: tl.constexpr, NUM_BITS: tl.constexpr, V: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The largest key, of at least `least_key`, from which on there is `enough`."""
    AT_ONCE: tl.constexpr = 4
    key = tl.zeros([], tl.uint32)
    digits = tl.arange(0, 1 << AT_ONCE).to(tl.uint32)
    for found in range(0, NUM_BITS, AT_ONCE):
        candidates = key | (digits << (32 - AT_ONCE - found))
        amounts = _amounts_from(
            row_ptr, tl.maximum(candidates, least_key), factor, highest,
            1 << AT_ONCE, IS_COUNT, V, BLOCK,
        )  # fmt: skip
        # Digit 0 is what was found before, and that was enough, but for rounding.
        key = tl.max(tl.where((amounts >= enough) | (digits == 0), candidates, 0), axis=0)
    return tl.maximum(key, least_key)


@triton.jit
def _cutoffs_kernel(
    logits_ptr, cutoffs_ptr, temperatures_ptr, top_ks_ptr, top_ps_ptr, min_ps_ptr,
    V: tl.constexpr, NUM_BITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One row: min-p, top-k and top-p raise its cut-off in turn."""
    row = tl.program_id(0)
    temperature = tl.load(temperatures_ptr + row)
    top_k, top_p = tl.load(top_ks_ptr + row), tl.load(top_ps_ptr + row)
    min_p = tl.load(min_ps_ptr + row)
    is_filtered = (top_k > 0) | (top_p < 1.0) | (min_p > 0.0)
    key = tl.zeros([], tl.uint32)
    if is_filtered & (temperature > 0):
        row_ptr = logits_ptr + row.to(tl.int64) * V
        best = tl.full([BLOCK], float("-inf"), tl.float32)
        for first in range(0, V, BLOCK):
            best = tl.maximum(best, _load(row_ptr, first, V, BLOCK))
        highest = tl.max(best, axis=0)
        if min_p > 0.0:  # a ratio of probabilities is a difference of logits
            key = key_of(highest + temperature * tl.log(min_p))
        if top_k > 0:
            key = _last_key_with(
                row_ptr, top_k.to(tl.float32), key, 0.0, 0.0, True, NUM_BITS, V, BLOCK
            )
        if top_p < 1.0:
            factor = 1.0 / temperature
            keys = key + tl.zeros([1], tl.uint32)
            total = tl.sum(
                _amounts_from(row_ptr, keys, factor, highest, 1, False, V, BLOCK), axis=0
            )
            key = _last_key_with(
                row_ptr, top_p * total, key, factor, highest, False, NUM_BITS, V, BLOCK
            )
    cutoff = tl.where(key == 0, float("-inf"), number_of(key))
    tl.store(cutoffs_ptr + row, cutoff)


def cutoffs_of(
    logits: Tensor, temperatures: Tensor, top_ks: Tensor, top_ps: Tensor, min_ps: Tensor
) -> Tensor:
    """Each row's cut-off: float32 [R], -inf where nothing is dropped.

    Args:
        logits: `[R, V]`, contiguous, before the temperature (which changes no order).
        temperatures: float32 [R]; a greedy row, 0, keeps all.
        top_ks: int32 [R]; 0 is no top-k.
        top_ps: float32 [R]; 1 is no top-p.
        min_ps: float32 [R]; 0 is no min-p.
    """
    num_rows, vocab_size = logits.shape
    cutoffs = torch.empty(num_rows, dtype=torch.float32, device=logits.device)
    block = min(TOKENS_PER_TILE, triton.next_power_of_2(vocab_size))
    _cutoffs_kernel[(num_rows,)](
        logits, cutoffs, temperatures, top_ks, top_ps, min_ps, V=vocab_size,
        NUM_BITS=16 if logits.dtype == torch.bfloat16 else 32, BLOCK=block, num_warps=8,
    )  # fmt: skip
    return cutoffs


def reference(
    logits: Float[Tensor, "rows vocab"],
    temperatures: Float[Tensor, " rows"],
    top_ks: Int[Tensor, " rows"],
    top_ps: Float[Tensor, " rows"],
    min_ps: Float[Tensor, " rows"],
) -> Float[Tensor, "rows vocab"]:
    """The logits with those that the filters drop at -inf; greedy rows keep all of theirs."""
    divisors = torch.where(temperatures > 0, temperatures, 1.0)
    scaled = stages.apply_temperature(logits.float(), divisors)
    kept = stages.apply_min_p(scaled, min_ps)
    kept = stages.apply_top_p(stages.apply_top_k(kept, top_ks), top_ps)
    is_dropped = (kept == stages.DROPPED) & (temperatures > 0)[:, None]
    return logits.masked_fill(is_dropped, stages.DROPPED)
