"""Lesson 16: the same counts and the same door, gone about in other ways."""

from collections import deque
from fractions import Fraction

import numpy as np
import torch

from tests.lessons.right_answers import right


@right("16.1")
def goodput_in_numpy(trace, slo):
    good = [
        a.first_token <= slo.first_token and (a.per_token or 0) <= slo.per_token
        for a in trace
        if a.is_whole
    ]
    begins, ends = (np.array([getattr(a, name) for a in trace]) for name in ("wanted", "ended"))
    return np.sum(good) / (ends.max() - begins.min())


@right("16.1")
def goodput_as_a_fraction(trace, slo):
    def is_good(answer):
        if answer.error or not answer.pieces:
            return False
        first, *_, last = [*answer.pieces, answer.pieces[-1]]
        steps = max(len(answer.pieces) - 1, 1)
        return first - answer.wanted <= slo.first_token and (last - first) / steps <= slo.per_token

    seconds = max(a.ended for a in trace) - min(a.wanted for a in trace)
    return Fraction(sum(map(is_good, trace))) / Fraction(seconds)


@right("16.2")
class AQueue:
    def __init__(self):
        self.guests = deque()

    def enter(self, guest, now):
        self.guests.append((now + 0.7, guest))

    def turn_away(self, now):
        while self.guests and self.guests[0][0] < now:
            yield self.guests.popleft()[1]


@right("16.2")
class ASet:
    def __init__(self):
        self.came = {}

    def enter(self, guest, now):
        self.came[guest] = now

    def turn_away(self, now):
        late = tuple(guest for guest in self.came if self.came[guest] < now - 0.9)
        self.came = {guest: came for guest, came in self.came.items() if guest not in late}
        return np.array(late, dtype=int).tolist()


@right("16.2")
class ASetOfTensors(ASet):
    def turn_away(self, now):
        return {torch.tensor(guest) for guest in super().turn_away(now)}
