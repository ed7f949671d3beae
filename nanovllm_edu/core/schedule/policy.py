"""Scheduling policies: who goes first, and who gives way.

A policy only *ranks*. It never counts tokens or blocks: the scheduler enforces the token budget,
the rows and the memory, so no policy, however odd, can break the engine.

`order` returns groups of sequences. The scheduler plans the first group out of which anything can
run, and leaves the rest for later steps. Two groups make phases; one group makes a mixed batch.

Read next: `core/schedule/step_builder.py` and `core/schedule/preemption.py`, which ask it;
`core/schedule/fair_policy.py`, an example.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Protocol

from nanovllm_edu.core.request.sequence import Sequence

Queue = tuple[Sequence, ...]
Groups = Iterable[Iterable[Sequence]]


class SchedulingPolicy(Protocol):
    """Ranks sequences. Both arguments are in order of arrival in their queue."""

    def order(self, running: Queue, waiting: Queue) -> Groups:
        """Groups of sequences, best first; waiting ones stop at the first that cannot start."""
        ...

    def victim(self, candidates: list[Sequence]) -> Sequence:
        """The one to preempt when no block is free. `candidates` holds at least one."""
        ...


class MixedPolicy:
    """Decode and prefill share each step: chunked prefill as in Sarathi-Serve and vLLM V1.

    Decodes come first, one token each, so that nobody's next token waits for another's prompt;
    what is left of the token budget goes to prompts.
    """

    def order(self, running: Queue, waiting: Queue) -> Groups:
        decoding = [seq for seq in running if seq.is_decoding]
        prefilling = [seq for seq in running if not seq.is_decoding]
        return [chain(decoding, prefilling, waiting)]

    def victim(self, candidates: list[Sequence]) -> Sequence:
        """The latest comer: the one that has waited least, so the others lose least."""
        return candidates[-1]

    def __repr__(self) -> str:
        return "MixedPolicy()"


class PhaseSeparatedPolicy:
    """A step is all prefill or all decode, prefill first: the schedule of nano-vLLM and vLLM V0.

    Simple, and good for throughput; but every running sequence stalls while a prompt is computed.
    """

    def order(self, running: Queue, waiting: Queue) -> Groups:
        prefilling = [seq for seq in running if not seq.is_decoding]
        decoding = [seq for seq in running if seq.is_decoding]
        return [chain(prefilling, waiting), decoding]

    def victim(self, candidates: list[Sequence]) -> Sequence:
        """The latest comer."""
        return candidates[-1]

    def __repr__(self) -> str:
        return "PhaseSeparatedPolicy()"
