"""Solutions of lesson 18, many replicas."""

from math import ceil


def replicas_needed(rate, seconds_per_request, max_num_seqs, busy):
    """Little's law: so many run at the same time, and a replica may take so many of them."""
    return ceil(rate * seconds_per_request / (max_num_seqs * busy))


def route(prompt, loads, index):
    """Of those that are not too busy, the one that has most of the prompt; then the least busy."""
    mean = sum(load.num_tokens for load in loads) / len(loads)
    free = [load for load in loads if load.num_tokens <= max(1.25 * mean, 500)]
    cached = index.lengths(prompt)
    best = max(free, key=lambda load: (cached.get(load.replica, 0), -load.num_tokens))
    return best.replica
