"""Solutions of lesson 09, sampling."""

import torch

from nanovllm_edu.sampling.random import gumbel_noise


def top_p(logits, p):
    """Keeps the smallest set of likeliest tokens whose probabilities reach p."""
    ranked = logits.sort(descending=True).values
    probabilities = ranked.softmax(0)
    reached_before = probabilities.cumsum(0) - probabilities
    cutoff = ranked[reached_before < p][-1]
    return logits.masked_fill(logits < cutoff, float("-inf"))


def draw(logits, seed, position):
    """A token from softmax(logits); the same one whenever seed and position are the same."""
    noise = gumbel_noise(torch.tensor([seed]), torch.tensor([position]), len(logits))[0]
    return int((logits + noise).argmax())
