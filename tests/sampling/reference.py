"""Readable references of the sampling stages in plain Python, written from their definitions."""

import math

DROPPED = -math.inf


def softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    weights = [math.exp(value - largest) for value in logits]
    return [weight / sum(weights) for weight in weights]


def keep(logits: list[float], kept: set[int]) -> list[float]:
    return [value if i in kept else DROPPED for i, value in enumerate(logits)]


def with_ties(logits: list[float], kept: list[int]) -> set[int]:
    """All tokens that are no less likely than the least likely kept one."""
    cutoff = min(logits[i] for i in kept)
    return {i for i, value in enumerate(logits) if value >= cutoff}


def ranked(logits: list[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda i: -logits[i])


def top_k(logits: list[float], k: int) -> list[float]:
    return keep(logits, with_ties(logits, ranked(logits)[:k])) if k else logits


def top_p(logits: list[float], p: float) -> list[float]:
    probabilities, kept, total = softmax(logits), [], 0.0
    for i in ranked(logits):
        kept.append(i)
        total += probabilities[i]
        if total >= p:
            break
    return keep(logits, with_ties(logits, kept))


def min_p(logits: list[float], ratio: float) -> list[float]:
    probabilities = softmax(logits)
    least = ratio * max(probabilities)
    return keep(logits, {i for i, value in enumerate(probabilities) if value >= least})


def penalties(
    logits: list[float],
    prompt: list[int],
    output: list[int],
    repetition: float,
    presence: float,
    frequency: float,
) -> list[float]:
    result = []
    for token_id, value in enumerate(logits):
        if token_id in prompt or token_id in output:
            value = value / repetition if value > 0 else value * repetition
        value -= frequency * output.count(token_id)
        value -= presence if token_id in output else 0
        result.append(value)
    return result


def mix(bits: int) -> int:
    """The 32-bit mixer in Python's integers."""
    bits ^= bits >> 16
    bits = bits * 0x21F0AAAD % 2**32
    bits ^= bits >> 15
    bits = bits * 0xD35A2D97 % 2**32
    return bits ^ bits >> 15


def random_bits(seed: int, position: int, token_id: int) -> int:
    """The hash of one (seed, position, token id)."""
    keys = []
    for key in (0x9E3779B9, 0x85EBCA6B):
        for word in (seed % 2**32, seed >> 32 & 0xFFFFFFFF, position):
            key = mix(key ^ word)
        keys.append(key)
    return mix(mix(token_id ^ keys[0]) ^ keys[1])
