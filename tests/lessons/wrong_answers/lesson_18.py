from itertools import count
from math import ceil

from tests.lessons.wrong_answers import wrong

turn = count()


@wrong("18.1", "of them.")
def rounds_down(rate, seconds_per_request, max_num_seqs, busy):
    return int(rate * seconds_per_request / (max_num_seqs * busy))


@wrong("18.1", "of them.")
def forgets_how_long_one_takes(rate, seconds_per_request, max_num_seqs, busy):
    return ceil(rate / (max_num_seqs * busy))


@wrong("18.1", "cost more")
def one_more_to_be_safe(rate, seconds_per_request, max_num_seqs, busy):
    return ceil(rate * seconds_per_request / (max_num_seqs * busy)) + 1


@wrong("18.1", "is a whole number")
def part_of_a_replica(rate, seconds_per_request, max_num_seqs, busy):
    return rate * seconds_per_request / (max_num_seqs * busy)


@wrong("18.2", "tells who has how much")
def least_busy(prompt, loads, index):
    return min(loads, key=lambda load: load.num_tokens).replica


@wrong("18.2", "must not follow the cache")
def always_the_cache(prompt, loads, index):
    cached = index.lengths(prompt)
    return max(loads, key=lambda load: (cached.get(load.replica, 0), -load.num_tokens)).replica


@wrong("18.2", "is a whole number; you gave Load")
def gives_the_load(prompt, loads, index):
    return loads[0]


@wrong("18.2", "return one of these numbers")
def counts_from_one(prompt, loads, index):
    return len(loads)


@wrong("18.1", "you start -1 replicas")
def fewer_than_none(rate, seconds_per_request, max_num_seqs, busy):
    return -1


@wrong("18.2", "tells who has how much")
def takes_turns(prompt, loads, index):
    return next(turn) % len(loads)
