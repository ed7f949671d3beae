"""Static batching, as engines did it before 2022, written as a scheduling policy.

It is here to be compared with: nothing joins a batch until all of it is done.

Read next: `core/schedule/policy.py`.
"""

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import Groups, Queue


class StaticPolicy:
    """A batch is filled once; the next one starts when its last sequence has ended."""

    def order(self, running: Queue, waiting: Queue) -> Groups:
        return [running] if running else [waiting]

    def victim(self, candidates: list[Sequence]) -> Sequence:
        """The latest comer."""
        return candidates[-1]

    def __repr__(self) -> str:
        return "StaticPolicy()"
