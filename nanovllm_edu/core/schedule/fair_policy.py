"""`FairPolicy`: clients take turns, so that one who asks for much does not keep the others waiting.

With first come, first served, a client that sends a hundred requests at once is served a hundred
times before the next one. Here each client has a count of the turns it has had, and whoever has had
the fewest goes first; among equals, who came first. A client that comes back after a pause has not
saved turns up: it begins with as many as the least served of those who are here.

An example of a policy; what a policy may do is in `core/schedule/policy.py`. Counting requests is
the simplest fair share; counting tokens is Sheng et al., "Fairness in Serving Large Language
Models" (2024).
"""

from collections import Counter
from collections.abc import Hashable

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import Groups, MixedPolicy, Queue


class FairPolicy(MixedPolicy):
    """Like `MixedPolicy`, but waiting requests take turns by `Sequence.client`."""

    def __init__(self) -> None:
        self._turns: Counter[Hashable] = Counter()
        self._here: set[Hashable] = set()
        self._unbegun: list[Sequence] = []

    def order(self, running: Queue, waiting: Queue) -> Groups:
        self._count_turns()
        self._let_in({seq.client for seq in (*running, *waiting)})
        self._unbegun = [seq for seq in waiting if not seq.has_begun]
        turns, ranked = self._turns.copy(), list[tuple[int, Sequence]]()
        for seq in waiting:
            ranked.append((turns[seq.client], seq))
            turns[seq.client] += 1
        ranked.sort(key=lambda pair: pair[0])  # it is stable: among equals, who came first
        return super().order(running, tuple(seq for _, seq in ranked))

    def _count_turns(self) -> None:
        """Those who waited the last time and have begun have had a turn."""
        for seq in self._unbegun:
            self._turns[seq.client] += seq.has_begun

    def _let_in(self, here: set[Hashable]) -> None:
        """Whoever is new here has had as many turns as the least served of the others."""
        least = min((self._turns[client] for client in here & self._here), default=0)
        for client in here - self._here:
            self._turns[client] = max(self._turns[client], least)
        self._here = here

    def __repr__(self) -> str:
        return "FairPolicy()"
